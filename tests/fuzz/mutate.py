"""Ways to damage what was whole: bytes, and JSON values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Generator = np.random.Generator
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
JUNK: tuple[Any, ...] = (
    *(None, True, False, "", "x", "../../etc/passwd", "\ud800", "a\nb", [], {}, [[]], {"": {}}),
    *(0, 1, -1, 2, 3, 7, 64, 4096, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.0, 0.5, -1.5, 1e300, float("inf"), float("-inf"), float("nan")),
)


def pick(rng: Generator, choices: Sequence[Any]) -> Any:
    """One of them (numpy would make arrays of them)."""
    return choices[int(rng.integers(len(choices)))]


def mutate_bytes(rng: Generator, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to eight damages, small and large."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        _damage(rng, result, others)
    return bytes(result)


def _damage(rng: Generator, data: bytearray, others: Sequence[bytes]) -> None:
    size = len(data)
    if not size:
        data += rng.bytes(8)
        return
    place = int(rng.integers(size))
    if rng.random() < 0.5:
        place = min(place, int(rng.integers(1, 200)))  # headers lie at the start
    span = int(rng.integers(1, 1 + min(64, size)))
    kind = int(rng.integers(8))
    if kind == 0:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[place] = int(rng.integers(256))
    elif kind == 2:
        width, order = pick(rng, (1, 2, 4, 8)), pick(rng, ("little", "big"))
        value = pick(rng, INTERESTING) & ((1 << 8 * width) - 1)
        data[place : place + width] = value.to_bytes(width, order)
    elif kind == 3:
        del data[place : place + span]
    elif kind == 4:
        data[place:place] = data[place : place + span]
    elif kind == 5:
        data[place:place] = rng.bytes(span)
    elif kind == 6 and rng.random() < 0.3:
        del data[place:]
    elif kind == 7 and others:
        other = pick(rng, others)
        start = int(rng.integers(len(other)))
        data[place : place + span] = other[start : start + span]


def mutate_json(rng: Generator, value: Any) -> Any:
    """A copy with one value replaced, removed, added or grown."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = pick(rng, sorted(value))
        changed = dict(value)
        kind = rng.random()
        if kind < 0.03:
            del changed[key]
        elif kind < 0.06:
            changed[any_text(rng, 30)] = changed.pop(key)
        elif kind < 0.1:
            changed[pick(rng, ("x", "", key + " ", "__class__"))] = pick(rng, JUNK)
        else:
            changed[key] = mutate_json(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = int(rng.integers(len(value)))
        kind = rng.random()
        if kind < 0.15:
            return value[:place] + value[place + 1 :]
        if kind < 0.3:
            return value * int(rng.integers(2, 5))
        return [*value[:place], mutate_json(rng, value[place]), *value[place + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.6:
        return int(pick(rng, (value + 1, value - 1, value * 2, value // 2, -value, value * 1000)))
    return pick(rng, JUNK)


def any_text(rng: Generator, longest: int = 300) -> str:
    """Any Unicode, half surrogates and control codes among it; sometimes pieces that mean something."""
    pieces = []
    for _ in range(int(rng.integers(0, 6))):
        kind = int(rng.integers(6))
        count = int(rng.integers(0, 1 + longest // 5))
        if kind == 0:
            pieces.append("".join(map(chr, rng.integers(0, 0x110000, count))))
        elif kind == 1:
            pieces.append("".join(map(chr, rng.integers(0x20, 0x7F, count))))
        elif kind == 2:
            pieces.append("".join(map(chr, rng.integers(0, 0x250, count))))
        elif kind == 3:
            pieces.append(pick(rng, SPECIAL) * int(rng.integers(1, 4)))
        elif kind == 4:
            start = int(rng.integers(0, 0x1F000))
            pieces.append("".join(map(chr, rng.integers(start, start + 0x100, count))))
        else:
            pieces.append(pick(rng, WORDS))
    return "".join(pieces)


SPECIAL = (
    *("<|startoftext|>", "<|endoftext|>", "</w>", "\x00", "\ud83d", "\udc00", "\u202e", "\ufeff"),
    *(
        "\r\n",
        "\u2028",
        "e\u0301" * 20,
        "👩‍👩‍👧‍👦",
        "𝒜",
        "\U0010ffff",
        "%s%n",
        "{0}",
        "../",
        "a" * 500,
    ),
)
WORDS = (
    *(
        "happy, side view",
        "two friends at the sea",
        "half left",
        "sad",
        "a woman",
        " , ",
        "zufrieden",
    ),
    *("smiling", "looking up", "NEUTRAL", "facing down;"),
)
