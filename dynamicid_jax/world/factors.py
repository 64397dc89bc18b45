"""Where every choice comes from: a counter-based integer hash, and people that never overlap.

    bits(seed, name)    = mix(mix(seed) ^ crc32(name))            32 bits, in whole numbers throughout
    unit(seed, name)    = (bits >> 16) / 2^16                     one of 65 536 values in [0, 1), exact
    choice(seed, name, n) = ((bits >> 16) * n) >> 16              one of 0 ... n - 1

A factor is a whole number or an exact fraction of 2^16, so that the same seed gives the same bits
on every machine and every device; only rendering does arithmetic that may round. Two names give
two independent streams: adding a factor never changes the others.

A person is a number. Each split owns a range of numbers, and nobody else's can be drawn in it:

    split     first person    people
    train     0               2^28
    judge     1 * 2^28        2^28      the judges' own training, apart from the mini model's
    eval      2 * 2^28        2^28
    demo      3 * 2^28        2^28
"""

import zlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from dynamicid_jax.errors import InputError

SPLITS = ("train", "judge", "eval", "demo")
SPLIT_SIZE = 2**28


def mix(word: UInt32[Array, "*s"]) -> UInt32[Array, "*s"]:
    """A one-to-one scrambling of 32 bits (xor-shift and odd multipliers, C. Wellons' search)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x21F0AAAD)
    word = (word ^ (word >> 15)) * jnp.uint32(0x735A2D97)
    return word ^ (word >> 15)


def bits(seed: Int[Array, "*s"] | UInt32[Array, "*s"], name: str) -> UInt32[Array, "*s"]:
    """32 bits of the stream `name` for a seed (of whole numbers, any shape).

    The two rounds are a loop, which XLA does not merge into what uses the bits: otherwise it repeats
    the hash in every user, and programs that draw and paint compile 25 times as long.
    """
    code = jnp.array([0, zlib.crc32(name.encode())], jnp.uint32)

    def hashed(i: Int[Array, ""], word: UInt32[Array, "*s"]) -> UInt32[Array, "*s"]:
        return mix(word ^ code[i])

    return jax.lax.fori_loop(0, 2, hashed, seed.astype(jnp.uint32))


def unit(seed: Int[Array, "*s"] | UInt32[Array, "*s"], name: str) -> Float[Array, "*s"]:
    """An exact fraction k / 2^16 in [0, 1)."""
    return (bits(seed, name) >> 16).astype(jnp.float32) * (2.0**-16)


def choice(seed: Int[Array, "*s"] | UInt32[Array, "*s"], name: str, n: int) -> Int[Array, "*s"]:
    """One of 0 ... n - 1, all as likely."""
    return (((bits(seed, name) >> 16) * jnp.uint32(n)) >> 16).astype(jnp.int32)


def weighted(
    seed: Int[Array, "*s"] | UInt32[Array, "*s"], name: str, weights: Sequence[int]
) -> Int[Array, "*s"]:
    """One of 0 ... len(weights) - 1, as often as its whole-number weight says."""
    drawn = choice(seed, name, sum(weights))
    edge, index = 0, jnp.zeros_like(drawn)
    for weight in weights[:-1]:
        edge += weight
        index = index + (drawn >= edge)
    return index


def seed_of(
    seed: Int[Array, "..."] | UInt32[Array, "..."], name: str, number: Int[Array, "..."] | int
) -> UInt32[Array, "..."]:
    """A seed of its own for the thing `number` of stream `name`: a picture, a place in it, ...

    Seeds and numbers broadcast.
    """
    number = jnp.asarray(number).astype(jnp.uint32)
    return mix(bits(seed, name) ^ mix(number ^ jnp.uint32(0x9E3779B9)))


def person_number(split: str, place: Int[Array, "*s"] | UInt32[Array, "*s"]) -> Int[Array, "*s"]:
    """The person at a place of a split's range; places beyond its end start over within it.

    Raises:
        InputError: no such split.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    inside = place.astype(jnp.uint32) % jnp.uint32(SPLIT_SIZE)
    return inside.astype(jnp.int32) + jnp.int32(SPLITS.index(split) * SPLIT_SIZE)


def split_of(person: Int[Array, "*s"]) -> Int[Array, "*s"]:
    """The index in `SPLITS` of the split that owns a person."""
    return person // SPLIT_SIZE


def lerp(low: float, high: float, at: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """From `low` at 0 to `high` at 1."""
    return low + (high - low) * at


def pick(index: Int[Array, "*s"], table: Sequence[float]) -> Float[Array, "*s"]:
    """A table's numbers at whole-number places."""
    return jnp.asarray(table, jnp.float32)[index]


def flags(index: Int[Array, "*s"], *members: int) -> Bool[Array, "*s"]:
    """Whether an index is one of `members`."""
    hit = index == members[0]
    for member in members[1:]:
        hit = hit | (index == member)
    return hit


def row(tree: Any, i: int) -> Any:
    """Entry i of every leaf of a tree of arrays."""
    return jax.tree.map(lambda leaf: leaf[i], tree)
