"""Launchers on trials that cost nothing: one that fails stops no other, what is finished is left alone."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.files import save_json
from dynamicid_jax.jobs.job import Command, read_state, write_job
from dynamicid_jax.sweeps import slurm
from dynamicid_jax.sweeps.launch import Resources, attend, unfinished
from dynamicid_jax.sweeps.local import run_local, visible_devices

MAKES = "from pathlib import Path; Path('made').write_text('x')"


def trial(out: Path, name: str, code: str = MAKES) -> str:
    """A trial whose one command is a few words of Python, run in its folder."""
    folder = out / name
    words = f"import os; os.chdir({str(folder)!r}); {code}"
    write_job(folder, [Command("train", (sys.executable, "-c", words), "made")])
    return name


def quiet(text: str) -> None:
    pass


def test_a_crash_stops_no_other_trial(tmp_path):
    names = [
        trial(tmp_path, "a"),
        trial(tmp_path, "b", "os.abort()"),
        trial(tmp_path, "c", "import sys; sys.exit('error: no')"),
        trial(tmp_path, "d"),
    ]
    said: list[str] = []
    run_local(tmp_path, names, 2, 0, Resources(), said.append)
    states = {name: read_state(tmp_path / name) for name in names}
    assert [states[name].status for name in names] == ["finished", "failed", "failed", "finished"]
    assert states["b"].code == -signal.SIGABRT
    assert states["c"].error.endswith("error: no")
    assert unfinished(tmp_path, names) == ["b", "c"]
    assert any("4 of 4" in line for line in said)


def test_trials_run_beside_each_other_and_no_more_than_asked(tmp_path):
    """Each waits until another is there, so one place would never do; and never sees a third."""
    code = (
        "import time; from pathlib import Path; here = Path('../here'); here.mkdir(exist_ok=True); "
        "own = here / os.path.basename(os.getcwd()); own.touch(); met = []; end = time.time() + 20\n"
        "while len(met) < 2 and time.time() < end: met = list(here.iterdir()); time.sleep(0.01)\n"
        "time.sleep(0.3); own.unlink(); Path('made').write_text(str(len(met)))"
    )
    names = [trial(tmp_path, name, code) for name in "abcd"]
    run_local(tmp_path, names, 2, 0, Resources(), quiet)
    assert {(tmp_path / name / "made").read_text() for name in names} == {"2"}


def test_a_killed_trial_is_started_again(tmp_path):
    """The trial's own process is killed once, from inside its command."""
    code = (
        "import signal; first = not os.path.exists('again'); open('again', 'w'); "
        f"os.kill(os.getppid(), signal.SIGKILL) if first else None; {MAKES}"
    )
    trial(tmp_path, "a", code)
    assert attend(tmp_path, "a", retries=1).status == "finished"
    trial(tmp_path, "b", "import signal; os.kill(os.getppid(), signal.SIGKILL)")
    state = attend(tmp_path, "b", retries=1)
    assert (state.status, state.code) == ("failed", -signal.SIGKILL)


def test_a_stopped_launcher_takes_its_trials_along(tmp_path):
    trial(tmp_path, "a", "import time; open('up', 'w'); time.sleep(60)")
    stop = threading.Event()
    thread = threading.Thread(target=attend, args=(tmp_path, "a", 3, stop))
    thread.start()
    end = time.monotonic() + 20
    while not (tmp_path / "a" / "up").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    stop.set()
    thread.join(20)
    assert read_state(tmp_path / "a").status == "stopped"


def test_places_have_devices_of_their_own(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices(1, Resources()) == {}
    assert visible_devices(1, Resources(gpus=2)) == {"CUDA_VISIBLE_DEVICES": "2,3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert visible_devices(1, Resources(gpus=1)) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert visible_devices(0, Resources(tpus=4)) == {"TPU_VISIBLE_CHIPS": "0,1,2,3"}
    with pytest.raises(InputError, match="gives whole ones"):
        run_local(Path(), [], 1, 0, Resources(gpus=0.5), quiet)


SBATCH = """#!/bin/bash
# What Slurm does with an array: the script once per number.
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
for n in $(seq 0 $last); do SLURM_ARRAY_TASK_ID=$n bash "$1" >/dev/null 2>&1; done
echo "Submitted batch job 7"
"""


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """An sbatch that runs the array on the spot."""
    file = tmp_path / "bin" / "sbatch"
    file.parent.mkdir()
    file.write_text(SBATCH)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}{os.environ['PATH']}")
    return file


def test_one_array_job_runs_the_trials_by_number(tmp_path, sbatch):
    out = tmp_path / "study of three"
    names = [trial(out, "a"), trial(out, "b", "os.abort()"), trial(out, "c")]
    text = slurm.script(
        out, names, 2, 0, Resources(cpus=4, gpus=1), "--partition=gpu --time=1:00:00"
    )
    for line in ("--array=0-2%2", "--cpus-per-task=4", "--gpus-per-task=1", "--partition=gpu"):
        assert f"#SBATCH {line}\n" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert slurm.submit(out, text) == "Submitted batch job 7"
    assert [read_state(out / name).status for name in names] == ["finished", "failed", "finished"]


def test_what_slurm_refuses_is_one_line(tmp_path, sbatch):
    sbatch.write_text("#!/bin/bash\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    with pytest.raises(OutputError, match="invalid partition"):
        slurm.submit(tmp_path, "#!/bin/bash\n")
    for words in ("gpu", "--comment='not closed"):
        with pytest.raises(InputError, match=r"--sbatch .*quotes in pairs"):
            slurm.script(tmp_path, ["a"], None, 0, Resources(), words)


def test_the_command_goes_on_with_a_folder(tmp_path, capsys):
    """Without a sweep file: what was prepared, as it was; the exit code tells that some are not finished."""
    names = [trial(tmp_path, "a"), trial(tmp_path, "b", "os.abort()")]
    rows = [
        {"name": name, "changes": {}, "recipes": [], "evaluate": {}, "about": ""} for name in names
    ]
    rows.append(rows[0] | {"name": "c"})
    more = {"recipes": [], "changes": {}, "evaluate": {}, "shown": [], "references": {}}
    save_json({"trials": rows, **more}, tmp_path / "sweep.json")
    assert main(["sweep", "--out", str(tmp_path), "--retries", "0"]) == 2
    said = capsys.readouterr()
    assert "1 of 2 trials are not finished (b)" in said.err
    assert "| c |  |" in said.out  # not run: empty
    assert main(["sweep", "--out", str(tmp_path), "--trial", "a"]) == 0
    assert main(["sweep", "--out", str(tmp_path), "--trial", "c"]) == 2
    assert main(["sweep"]) == 2
