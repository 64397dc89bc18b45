"""What devices send each other in one step, read from the compiled program's text.

The text is a list of computations; instructions name what they call. A collective counts as often as it runs: once per
call of its computation, and in a loop as often as the loop goes round. Sizes are of what one device puts in:

    all-reduce          the tensor              a ring sends 2 (n - 1) / n of it
    all-gather          its own part            (n - 1) parts
    reduce-scatter      the tensor              (n - 1) / n of it
    all-to-all          the tensor              (n - 1) / n of it
    collective-permute  the tensor              all of it
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from dynamicid_jax.types import Number

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

WIDTHS = {"pred": 8, "token": 0, "opaque": 0}  # bits; others say it in their name


@dataclass(frozen=True)
class Collective:
    """One collective instruction.

    Attributes:
        kind: of `KINDS`.
        nbytes: what one device puts in, each time.
        group: devices that take part together.
        times: how often it runs in a step.
    """

    kind: str
    nbytes: int
    group: int
    times: int = 1

    @property
    def sent(self) -> float:
        """Bytes that one device sends in a step, by the table above."""
        n = self.group
        share = {
            "all-reduce": 2 * (n - 1) / n,
            "all-gather": n - 1,
            "collective-permute": 1,
        }.get(self.kind, (n - 1) / n)
        return float(self.nbytes * share * self.times)


@dataclass
class _Instruction:
    name: str
    shape: str
    opcode: str
    rest: str  # operands and attributes


@dataclass
class _Computation:
    instructions: dict[str, _Instruction] = field(default_factory=dict)


HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
LINE = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
SHAPE = re.compile(r"([a-z]\w*)\[([\d,]*)\]")
CALLED = re.compile(
    r"(?:calls|to_apply|body|called_computations|branch_computations)=\{?([^,}]*(?:, ?%[^,}]*)*)"
)
TRIPS = re.compile(r'known_trip_count[^}]*?"?n"?:"?(\d+)')


def collectives(text: str, devices: int) -> list[Collective]:
    """All collectives of a compiled program; those between one device alone are left out.

    Args:
        text: `compiled.as_text()`.
        devices: of the whole program, for collectives that name no groups.
    """
    computations, entry = _parse(text)
    times = _times(computations, entry)
    found = []
    for name, runs in times.items():
        for instruction in computations[name].instructions.values():
            kind = instruction.opcode.removesuffix("-start").removeprefix("ragged-")
            if kind not in KINDS:
                continue
            nbytes = sum(
                shape_bytes(source.shape) for source in _operands(instruction, computations[name])
            )
            group = _group(instruction.rest, devices)
            if group > 1:
                found.append(Collective(kind, nbytes, group, runs))
    return found


def by_kind(found: list[Collective]) -> dict[str, dict[str, Number]]:
    """Per kind: how many run in a step, and bytes that a device puts in and sends."""
    rows: dict[str, dict[str, Number]] = {}
    for one in found:
        row = rows.setdefault(one.kind, {"count": 0, "bytes": 0, "sent": 0.0})
        row["count"] += one.times
        row["bytes"] += one.nbytes * one.times
        row["sent"] += one.sent
    return rows


def shape_bytes(shape: str) -> int:
    """Bytes of a shape as the text writes it, a tuple's parts together: "(f32[2,3]{1,0}, bf16[4])" is 32."""
    total = 0
    for kind, sides in SHAPE.findall(re.sub(r"\{[^}]*\}|/\*.*?\*/", "", shape)):
        count = math.prod(int(side) for side in sides.split(",") if side)
        digits = re.search(r"\d+", kind)
        width = WIDTHS.get(kind, int(digits[0]) if digits else 8)
        total += count * width // 8
    return total


def _parse(text: str) -> tuple[dict[str, _Computation], str]:
    """Computations by name, and the entry's name."""
    computations: dict[str, _Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := HEAD.match(line):
            current = computations.setdefault(head[2], _Computation())
            entry = head[2] if head[1] else entry
        elif current is not None and (match := LINE.match(line)):
            shape, rest = _split_shape(match[2])
            opcode, _, rest = rest.partition("(")
            current.instructions[match[1]] = _Instruction(match[1], shape, opcode.strip(), rest)
    return computations, entry


def _split_shape(text: str) -> tuple[str, str]:
    """A shape and what follows it; a tuple ends where its bracket closes."""
    if not text.startswith("("):
        shape, _, rest = text.partition(" ")
        return shape, rest
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[: at + 1], text[at + 1 :].lstrip()
    return text, ""


def _operands(instruction: _Instruction, inside: _Computation) -> Iterator[_Instruction]:
    """The instructions that feed one."""
    until = instruction.rest.partition(")")[0]
    for name in re.findall(r"%?([\w.\-]+)", until):
        if name in inside.instructions:
            yield inside.instructions[name]


def _times(computations: dict[str, _Computation], entry: str) -> dict[str, int]:
    """How often each computation runs in a step."""
    times: dict[str, int] = defaultdict(int)

    def visit(name: str, runs: int) -> None:
        times[name] += runs
        for instruction in computations[name].instructions.values():
            rounds = _rounds(instruction, computations) if instruction.opcode == "while" else 1
            for names in CALLED.findall(instruction.rest):
                for called in re.findall(r"%?([\w.\-]+)", names):
                    if called in computations:
                        visit(called, runs * rounds)

    if entry:
        visit(entry, 1)
    return dict(times)


def _rounds(loop: _Instruction, computations: dict[str, _Computation]) -> int:
    """Rounds of a loop: as the compiler notes it, else the one number its condition compares with, else 1."""
    if known := TRIPS.search(loop.rest):
        return int(known[1])
    condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
    if condition is None or condition[1] not in computations:
        return 1
    numbers = {
        int(found[0])
        for instruction in computations[condition[1]].instructions.values()
        if instruction.opcode == "constant" and (found := re.match(r"\d+", instruction.rest))
    }
    return numbers.pop() if len(numbers) == 1 else 1


def _group(rest: str, devices: int) -> int:
    """Devices per group, in any of the ways in which the text writes groups."""
    if "source_target_pairs" in rest:
        return 2 if re.search(r"source_target_pairs=\{\{", rest) else 1
    if match := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
        return int(match[2])
    if match := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return len(match[1].split(","))
    if match := re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", rest):
        sizes = {axis: int(size) for axis, size in re.findall(r"'([^']+)'=(\d+)", match[1])}
        return math.prod(sizes[axis] for axis in re.findall(r"'([^']+)'", match[2]))
    return devices
