import io

import pytest

from dynamicid_jax.training.console_progress import ConsoleProgress, clock

NUMBERS = {"loss": 0.14321, "speed/images_per_second": 212.42, "speed/data_wait": 0.003}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_one_plain_line_per_interval() -> None:
    out = io.StringIO()
    with ConsoleProgress("anchoring", 1000, stream=out) as line:
        for step in range(1, 101):
            line.tick(step)
            if step % 50 == 0:
                line.update(step, {**NUMBERS, "skipped": 2})
                line.checkpoint(step)
    first, second = out.getvalue().splitlines()
    assert first.startswith("anchoring 50/1000  loss 0.1432  212.4 img/s  data 0.3%  skipped 2")
    assert "ETA" in first
    assert "saved" not in first
    assert second.endswith("saved 50")


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_on_a_terminal_the_line_stays_one_line(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with ConsoleProgress("reconfiguration", 123456, start_step=5000, stream=out) as line:
        line.tick(5001)
        line.update(5050, NUMBERS)
        line.note("a word that stays [x]")
    text = out.getvalue()
    assert "5050/123456" in text
    assert "a word that stays [x]" in text
    # rich moves the cursor up where what it drew took more than one line
    assert "\x1b[1A" not in text
    last = text.rpartition("\r")[2]
    assert "5050/123456\x1b[0m  loss 0.14" in last  # what matters most is there on any terminal
    assert ("━" in last) == (columns == 160)


def test_other_processes_say_nothing() -> None:
    out = Terminal()
    with ConsoleProgress("base", 10, active=False, stream=out) as line:
        line.tick(1)
        line.update(1, NUMBERS)
        line.note("x")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (61, "1:01"), (3600, "1:00:00"), (90061, "1d 1:01:01")],
)
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text
