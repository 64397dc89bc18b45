"""Errors a user can act on: each names the file or argument, what was expected and what to do.

The command line prints the message of a `DynamicIDError` as one line and exits with code 2, without a traceback.
"""


def one_line(error: BaseException, limit: int | None = None) -> str:
    """What an error says, without line breaks and cut at `limit` characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


class DynamicIDError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(DynamicIDError, ValueError):
    """An argument or a user's file is not usable: a box, a size, a picture, a prompt."""


class FaceError(InputError):
    """A photograph holds no usable face."""


class DamagedRecordError(DynamicIDError, OSError):
    """A record of a dataset cannot be read; the loader replaces it by another one."""


class MissingPartError(DynamicIDError):
    """The model or the face pack lacks a network that the request needs."""


class WeightsError(DynamicIDError, ValueError):
    """A checkpoint is missing, damaged, or does not fit the model."""


class SamplingError(DynamicIDError, ArithmeticError):
    """Sampling produced values that are not finite."""


class TrainingError(DynamicIDError, ArithmeticError):
    """Training cannot go on: losses or gradients that stay not finite, or a process that is gone."""


class ExportError(DynamicIDError, ValueError):
    """A function or a model cannot be written in the format asked for."""


class OutputError(DynamicIDError, OSError):
    """A result cannot be written."""
