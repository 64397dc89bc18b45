"""Signals: the first one is remembered until the loop asks, the second one ends the process."""

import os
import signal
import subprocess
import sys

import pytest

from dynamicid_jax.training.preemption import Preemption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_is_remembered(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.getsignal(number)
    with Preemption() as preemption:
        assert not preemption.stop_requested(1)
        os.kill(os.getpid(), number)
        assert preemption.stop_requested(2)
        assert preemption.stop_requested(3)
    assert signal.getsignal(number) is before
    assert [record.getMessage() for record in caplog.records] == [
        f"{number.name}: saving step 2, then the run ends; it can be resumed"
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once(number: signal.Signals) -> None:
    script = (
        "import time; from dynamicid_jax.training.preemption import Preemption\n"
        "with Preemption(): print('ready', flush=True); [time.sleep(0.05) for _ in range(600)]"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(number)
    assert process.wait(10) == 128 + number
