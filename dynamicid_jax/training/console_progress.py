"""What a run says while it goes on: a live line on a terminal, else one plain line per interval.

anchoring  ━━━━━━━━━━━━━━━╸━━━━━━━━━━━━━━━━━  4150/10000  loss 0.1432  212.4 img/s  data 0.3 %  ETA 1:02:11  saved 4000
"""

import sys
import time
from collections.abc import Mapping
from typing import Any

from dynamicid_jax.types import Number

BAR = 24


class ConsoleProgress:
    """One line about a run; process 0 shows it, the others show nothing."""

    def __init__(
        self,
        stage: str,
        total: int,
        *,
        start_step: int = 0,
        active: bool = True,
        stream: Any = None,
    ) -> None:
        """Shows nothing yet.

        Args:
            stage: what trains.
            total: updates of the whole run.
            start_step: updates done by earlier sessions.
            active: False shows nothing, ever.
            stream: a text file to write to; None: stdout.
        """
        self._stage, self._total, self._step = stage, total, start_step
        self._begin: tuple[float, int] | None = None
        self._values: dict[str, Number] = {}
        self._saved: int | None = None
        self._stream = stream or sys.stdout
        self._active = active
        self._live: Any = None
        self._console: Any = None

    def __enter__(self) -> "ConsoleProgress":
        """Starts the live line where there is a terminal."""
        if self._active and self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._console = Console(file=self._stream)
            # 4 a second: a line that moves, at no measurable cost to the loop.
            self._live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=4
            )
            self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        """Leaves the last state of the live line standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tick(self, step: int) -> None:
        """A step was dispatched; cheap, call it every step."""
        if self._begin is None:
            # the first step holds the compilation, which would spoil the estimate
            self._begin = time.monotonic(), step
        self._step = step

    def expect(self, total: int) -> None:
        """The run is now thought to take `total` updates."""
        self._total = total

    def update(self, step: int, values: Mapping[str, Number]) -> None:
        """The numbers of an interval (training/metrics.py)."""
        self._step = max(step, self._step)
        self._values = dict(values)
        if self._active and self._live is None:
            self._print(f"{self._stage} {'  '.join(self._parts(step))}")

    def checkpoint(self, step: int) -> None:
        """A checkpoint was saved."""
        self._saved = step

    def note(self, text: str) -> None:
        """A line that stays, above the live one."""
        if self._live is not None:
            self._console.print(text, markup=False, highlight=False)
        elif self._active:
            self._print(text)

    def _parts(self, step: int) -> list[str]:
        """The numbers as words, the step first."""
        parts = [f"{step}/{self._total}"]
        if "loss" in self._values:
            parts.append(f"loss {self._values['loss']:.4g}")
        if "speed/images_per_second" in self._values:
            parts.append(f"{self._values['speed/images_per_second']:.1f} img/s")
        if "speed/mfu" in self._values:
            parts.append(f"MFU {self._values['speed/mfu']:.1%}")
        if "speed/data_wait" in self._values:
            parts.append(f"data {self._values['speed/data_wait']:.1%}")
        if self._values.get("skipped"):
            parts.append(f"skipped {self._values['skipped']:.0f}")
        if (left := self._seconds_left()) is not None:
            parts.append(f"ETA {clock(left)}")
        if self._saved is not None:
            parts.append(f"saved {self._saved}")
        return parts

    def _seconds_left(self) -> float | None:
        """By this session's own mean speed, pauses included; None before a second step."""
        if self._begin is None or self._step <= self._begin[1]:
            return None
        since, first = self._begin
        return (time.monotonic() - since) / (self._step - first) * (self._total - self._step)

    def _render(self) -> Any:
        """The live line; on a narrow terminal the bar goes first, then the end of the line."""
        from rich.text import Text

        parts = self._parts(self._step)
        room = self._console.width - len("  ".join([self._stage, *parts])) - 2
        width = min(BAR, room)
        done = round(width * min(1.0, self._step / max(self._total, 1)))
        line = "━" if self._console.encoding.startswith("utf") else "="
        text = Text(no_wrap=True, overflow="ellipsis").append(f"{self._stage}  ", "cyan")
        if width > 4:
            text.append(line * done, "cyan").append(line * (width - done) + "  ", "bright_black")
        return text.append(parts[0], "bold").append("".join(f"  {part}" for part in parts[1:]))

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def clock(seconds: Number) -> str:
    """Seconds as h:mm:ss or m:ss, with days before."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
