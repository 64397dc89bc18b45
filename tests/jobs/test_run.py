"""Jobs: commands in order, what is done stays done, two never write at once, nobody outlives his starter for long."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.jobs.job import Command, read_state, write_job
from dynamicid_jax.jobs.run import run_job


def python(name: str, code: str, makes: str) -> Command:
    return Command(name, (sys.executable, "-c", code), makes)


def touches(name: str, folder: Path) -> Command:
    """Adds a letter to FOLDER/<name> each time it runs."""
    return python(name, f"open({str(folder / name)!r}, 'a').write('x')", name)


def wait_for(condition, seconds: float = 20.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)
    return found


def quiet(text: str) -> None:
    pass


def test_commands_run_in_order_and_once(tmp_path):
    commands = [touches("one", tmp_path), touches("two", tmp_path)]
    write_job(tmp_path, commands)
    assert run_job(tmp_path, say=quiet).status == "finished"
    state = run_job(tmp_path, say=quiet)
    assert state.done == ("one", "two")
    assert state.attempts == 2
    assert (tmp_path / "one").read_text() == "x"
    (tmp_path / "two").unlink()  # what is gone is made again
    run_job(tmp_path, say=quiet)
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() == "x"


def test_a_failure_stops_the_job_and_says_why_in_one_line(tmp_path):
    bad = python("bad", "import sys; print('error: no such base'); sys.exit(2)", "never")
    write_job(tmp_path, [touches("one", tmp_path), bad, touches("after", tmp_path)])
    state = run_job(tmp_path, retries=5, say=quiet)
    assert (state.status, state.code) == ("failed", 2)
    assert state.error == "bad ended with code 2: error: no such base"
    assert state.attempts == 2  # a bad request is not tried again
    assert not (tmp_path / "after").exists()


def test_a_crash_is_tried_again(tmp_path):
    tries = str(tmp_path / "tries")
    crash = f"import os; open({tries!r}, 'a').write('x'); os.abort() if os.stat({tries!r}).st_size < 3 else 0"
    write_job(tmp_path, [python("crash", crash, "tries")])
    assert run_job(tmp_path, retries=1, say=quiet).code == -signal.SIGABRT
    assert run_job(tmp_path, retries=1, say=quiet).status == "finished"


def test_code_0_without_a_result_is_no_success(tmp_path):
    write_job(tmp_path, [python("idle", "", "model")])
    assert read_state(tmp_path).status == "new"
    assert "ended without model" in run_job(tmp_path, say=quiet).error


def test_a_folder_belongs_to_one_job(tmp_path):
    write_job(tmp_path, [Command("train", ("dynamicid", "train", "--config.steps=1"), "model")])
    with pytest.raises(InputError, match=r"train: was --config.steps=1, is --config.steps=2"):
        write_job(tmp_path, [Command("train", ("dynamicid", "train", "--config.steps=2"), "model")])
    with pytest.raises(InputError, match=r"holds no job.json"):
        run_job(tmp_path / "elsewhere")


SLOW = "import time; print('up', flush=True); time.sleep(60)"
RUN = """
import sys
from pathlib import Path
from dynamicid_jax.jobs.run import run_job
run_job(Path(sys.argv[1]), parent=int(sys.argv[2]))
"""


def started(folder: Path, parent: int = 0) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder), str(parent)])
    wait_for(lambda: (folder / "log.txt").exists() and "up" in (folder / "log.txt").read_text())
    return process


def test_a_signal_stops_it_and_it_can_go_on(tmp_path):
    write_job(tmp_path, [touches("one", tmp_path), python("slow", SLOW, "never")])
    process = started(tmp_path)
    process.terminate()
    process.wait(20)
    state = read_state(tmp_path)
    assert (state.status, state.done) == ("stopped", ("one",))


def test_a_job_ends_with_the_process_that_it_watches(tmp_path):
    write_job(tmp_path, [python("slow", SLOW, "never")])
    code = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {RUN!r}, sys.argv[1], str(os.getpid())])
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    wait_for(lambda: (tmp_path / "log.txt").exists() and "up" in (tmp_path / "log.txt").read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: read_state(tmp_path).status == "stopped")


# Lives until the next runner has said something, however slow the machine.
ORPHAN = """
import time
from pathlib import Path
folder, end = Path({folder!r}), time.monotonic() + 120
print("up", flush=True)
while not (folder / "heard").exists() and time.monotonic() < end:
    time.sleep(0.02)
(folder / "made").open("a").write("x")
"""


def test_nobody_runs_beside_an_orphan(tmp_path):
    """The runner is killed, its command lives on: the next runner waits for it, and takes what it made."""
    write_job(tmp_path, [python("slow", ORPHAN.format(folder=str(tmp_path)), "made")])
    process = started(tmp_path)
    process.kill()
    process.wait()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        (tmp_path / "heard").touch()

    assert run_job(tmp_path, say=say).status == "finished"
    assert "another process is still at it" in said[0]
    assert (tmp_path / "made").read_text() == "xx"  # run again only after the orphan had ended
    assert read_state(tmp_path).attempts == 2


@pytest.mark.parametrize(
    "text", ["x", "[]", "{}", '{"done": 3}', '{"status": "finished", "done": [], "seconds": 3}']
)
def test_a_damaged_state_is_that_of_a_new_job(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path).status == "new"
