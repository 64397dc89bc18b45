"""Rules: how one name of a PyTorch checkpoint and one of our paths belong together.

    Rule("down_blocks.{i}.conv.weight", "unet/down_blocks_{i}/conv/kernel", CONV)

`{i}`, `{j}`, ... stand for an index and `{path}` for any rest; a placeholder has the same value on
both sides. Our paths start with the component ("unet/...", "adapter/..."). A table is a sequence of
rules; `engine` applies it both ways.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """How an array changes on its way to us, and back; both are views, and undo each other."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]
    ranks: tuple[int, ...] = ()  # of the checkpoint's array; empty: any

    def our_shape(self, shape: Shape) -> Shape | None:
        """Shape after `to_ours`, None where the rank does not fit."""
        if self.ranks and len(shape) not in self.ranks:
            return None
        return self.to_ours(np.broadcast_to(np.int8(0), shape)).shape

    def torch_shape(self, shape: Shape) -> Shape:
        """Shape after `to_torch`."""
        return self.to_torch(np.broadcast_to(np.int8(0), shape)).shape


def _pointwise(array: np.ndarray) -> np.ndarray:
    """[o, i] or [o, i, 1, 1] to [i, o]; other kernels keep rank 4 and fail the shape check."""
    return (array[:, :, 0, 0] if array.shape[2:] == (1, 1) else array).T


SAME = Transform(lambda a: a, lambda a: a)
DENSE = Transform(lambda a: a.T, lambda a: a.T, ranks=(2,))  # [o, i] <-> [i, o]
CONV = Transform(  # OIHW <-> HWIO
    lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1), ranks=(4,)
)
CONV1X1 = Transform(
    _pointwise, lambda a: a.T[:, :, None, None], ranks=(4,)
)  # [o, i, 1, 1] <-> [i, o]
DENSE_OR_CONV1X1 = Transform(_pointwise, lambda a: a.T, ranks=(2, 4))


@dataclass(frozen=True)
class Rule:
    """One line of a table. `read_only`: an older name, understood but never written."""

    torch: str
    ours: str
    transform: Transform = SAME
    read_only: bool = False

    @cached_property
    def torch_pattern(self) -> re.Pattern[str]:
        """Matches the checkpoint's names."""
        return pattern(self.torch)

    @cached_property
    def our_pattern(self) -> re.Pattern[str]:
        """Matches our paths."""
        return pattern(self.ours)


@dataclass(frozen=True)
class Ignored:
    """Names of the checkpoint that hold no weight of ours.

    Attributes:
        torch: the names.
        beside: our paths beside which such a tensor belongs.
        fill: integer to write in its place, None: nothing is written.
    """

    torch: str
    beside: str = ""
    fill: int | None = None

    @cached_property
    def torch_pattern(self) -> re.Pattern[str]:
        """Matches the checkpoint's names."""
        return pattern(self.torch)


Table = Sequence[Rule | Ignored]


def pattern(text: str) -> re.Pattern[str]:
    """A name with placeholders as a regular expression with one group for each."""
    parts = re.split(r"\{(\w+)\}", text)
    pieces = [re.escape(part) if at % 2 == 0 else _group(part) for at, part in enumerate(parts)]
    return re.compile("".join(pieces))


def _group(name: str) -> str:
    return f"(?P<{name}>{'.+' if name == 'path' else '[0-9]+'})"


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """A name with its placeholders replaced."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)


def under(torch: str, ours: str, table: Table) -> list[Rule | Ignored]:
    """A table with a prefix on both sides."""
    head, our_head = torch + "." * bool(torch), ours + "/" * bool(ours)
    result: list[Rule | Ignored] = []
    for line in table:
        if isinstance(line, Rule):
            names = (head + line.torch, our_head + line.ours)
            result.append(Rule(*names, line.transform, line.read_only))
        else:
            beside = our_head + line.beside if line.beside else ""
            result.append(Ignored(head + line.torch, beside, line.fill))
    return result


def read_only(table: Table) -> list[Rule | Ignored]:
    """A table of older names."""
    return [
        Rule(line.torch, line.ours, line.transform, True)
        if isinstance(line, Rule)
        else Ignored(line.torch)
        for line in table
    ]


def dense(
    torch: str, ours: str | None = None, bias: bool = True, by: Transform = DENSE
) -> list[Rule]:
    """A linear layer: {weight, bias} <-> {kernel, bias}. Our name defaults to the checkpoint's."""
    ours = torch if ours is None else ours
    kernel = Rule(f"{torch}.weight", f"{ours}/kernel", by)
    return [kernel, Rule(f"{torch}.bias", f"{ours}/bias")] if bias else [kernel]


def conv(torch: str, ours: str | None = None, bias: bool = True) -> list[Rule]:
    """A convolution."""
    return dense(torch, ours, bias, CONV)


def norm(torch: str, ours: str | None = None) -> list[Rule]:
    """A normalisation: {weight, bias} <-> {scale, bias}."""
    ours = torch if ours is None else ours
    return [Rule(f"{torch}.weight", f"{ours}/scale"), Rule(f"{torch}.bias", f"{ours}/bias")]


def embedding(torch: str, ours: str | None = None) -> Rule:
    """An embedding table: weight <-> embedding."""
    return Rule(f"{torch}.weight", f"{torch if ours is None else ours}/embedding")
