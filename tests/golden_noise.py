"""The random numbers that most recorded weights and inputs are made of, without PyTorch.

The recordings drew nearly every weight and input as `float16(mean + scale * n)`, with n from a
seeded PyTorch generator. Such an array is kept as five numbers (`Noise`) instead of its values,
which is what lets the goldens fit in a few megabytes. Where PyTorch's float32 arithmetic rounds to
the neighbouring float16, the recorded value is stored beside the recipe: the result is the recorded
array bit for bit, and a checksum (golden_io.py) says so every time.

PyTorch's generator on the CPU, for 16 values or more: the Mersenne Twister of
`numpy.random.RandomState`, its low 24 bits as a uniform number u in [0, 1), then Box-Muller in
blocks of 16; with j in 0..7

    n[j]     = sqrt(-2 ln(1 - u[j])) cos(2 pi u[j + 8])
    n[j + 8] = sqrt(-2 ln(1 - u[j])) sin(2 pi u[j + 8])

A count that is not a multiple of 16 draws 16 new numbers for its last 16 values.
"""

import functools
from typing import NamedTuple

import numpy as np

BLOCK = 16


class Noise(NamedTuple):
    """`float16(mean + scale * normal)`; `position` counts the generator's draws before it."""

    seed: int
    position: int
    count: int
    scale: float
    mean: float

    def values(self) -> np.ndarray:
        """The array, flat, as float16 [count]."""
        drawn = normals(self.seed, self.position, self.count)
        return (self.mean + self.scale * drawn).astype(np.float16)


def normals(seed: int, position: int, count: int) -> np.ndarray:
    """`count` (16 or more) normal numbers as float64, after `position` earlier draws."""
    if count < BLOCK:
        raise ValueError(f"expected at least {BLOCK} values, got {count}")
    whole = count // BLOCK * BLOCK
    values = np.empty(count)
    values[:whole] = box_muller(_uniforms(seed, position, whole))
    if whole < count:
        values[-BLOCK:] = box_muller(_uniforms(seed, position + count, BLOCK))
    return values


def box_muller(uniforms: np.ndarray) -> np.ndarray:
    """Uniform numbers [16 k] to normal numbers [16 k]."""
    first, second = np.moveaxis(uniforms.reshape(-1, 2, BLOCK // 2), 1, 0)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - first)), 2.0 * np.pi * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()


def _uniforms(seed: int, position: int, count: int) -> np.ndarray:
    """Draws `position` to `position + count` of the generator, as float64 in [0, 1)."""
    needed = (
        1 << (position + count - 1).bit_length()
    )  # powers of two: the cache then holds few lengths
    return uniforms(seed, needed)[position : position + count]


@functools.lru_cache(maxsize=2)
def uniforms(seed: int, count: int) -> np.ndarray:
    """The generator's first `count` draws, as float64 in [0, 1)."""
    draws = np.random.RandomState(seed).randint(0, 1 << 32, size=count, dtype=np.uint32)
    return (draws & 0xFFFFFF).astype(np.float64) * 2.0**-24
