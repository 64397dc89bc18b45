"""What commands share on a terminal: progress, one-line warnings, the compilation cache."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from dynamicid_jax.cache import own_folder
from dynamicid_jax.errors import OutputError


def seed_number(text: str) -> int:
    """A seed from the command line: a whole number of at least 0."""
    return _whole_number(text, 0)


def counting_number(text: str) -> int:
    """How many of something, from the command line: a whole number of at least 1."""
    return _whole_number(text, 1)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least {least}, got {text!r}"
        )
    return int(text)


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs; a cache that is not the user's own is left out, with a word."""
    import jax

    try:
        folder = own_folder("xla")
    except OutputError as error:
        print(f"note: no compilation cache ({error})", file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Shows our own warnings as one line each on stderr."""

    def show(message: Any, category: type[Warning], filename: str, *rest: Any, **more: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def steps_bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar over sampling steps with steps per second, on stderr; plain silence where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Steps per second since the first report."""

        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text("compiling" if speed is None else f"{speed:.2f} steps/s")

    columns = [
        TextColumn("sampling"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    ]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("sampling", total=None)
        yield lambda done, steps: bar.update(task, completed=done, total=steps)


@contextlib.contextmanager
def pictures_bar() -> Iterator[Callable[[int, int], None]]:
    """The same over pictures."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = [TextColumn("drawing"), BarColumn(), MofNCompleteColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=None)
        yield lambda done, pictures: bar.update(task, completed=done, total=pictures)
