"""Python files that users write, recipes and sweeps: what goes wrong in one is a single line that says where."""

import runpy
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import DynamicIDError, InputError

EXTRA = (
    "ml_collections"  # what recipes need of the extra `train`; the command line says how to get it
)


def call(
    path: str | Path, function: str, gives: str, read: Callable[[Any], Any] = lambda made: made
) -> Any:
    """Runs a file, calls one of its functions and returns what it gives.

    Args:
        path: the file; it is there.
        function: its name.
        gives: what is to be said where the file does not have it, such as "a recipe returns a ConfigDict".
        read: makes something of the result, still as a part of the user's file: a generator runs here.

    Raises:
        InputError: not Python, no such function, or an error while the file or the function runs.
    """
    with _one_line(str(path)):
        found = runpy.run_path(str(path)).get(function)
    if not callable(found):
        raise InputError(f"{path}: has no {function}(); {gives}")
    with _one_line(str(path)):
        return read(found())


@contextmanager
def _one_line(path: str) -> Iterator[None]:
    try:
        yield
    except DynamicIDError as error:
        raise InputError(f"{path}: {_line(path, error)}{error}") from None
    except SyntaxError as error:
        where = error.filename or path  # it may be a file that the user's file runs
        line = f"line {error.lineno} is" if error.lineno else "is"
        raise InputError(f"{where}: {line} no Python ({error.msg}); correct it") from None
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == EXTRA:
            raise
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: {_line(path, error)}{type(error).__name__}{said and ': '}{said}; correct it"
        ) from None


def _line(path: str, error: BaseException) -> str:
    """The last line of the file itself on the way to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f"line {lines[-1]}: " if lines else ""
