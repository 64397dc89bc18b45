"""Self-attention's time on a CPU, forward and back, beside a way that keeps its softmax for the gradient.

    python benchmarks/attention_gradient.py

Both run in one process, turn by turn; the table has the medians in milliseconds and the median of the paired ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

SHAPES = {  # batch, queries, heads, width of a head
    "mini, 96 px, 16 pictures": (16, 576, 4, 16),
    "SD1.5, 256 px, 2 pictures": (2, 1024, 8, 40),
    "SD1.5, 512 px": (1, 4096, 8, 40),
}


def kept(query: Array, key: Array, value: Array) -> Array:
    """One row of the batch and one head at a time; the gradient reads the softmax that the way there wrote."""

    def head(operands: tuple[Array, Array, Array]) -> Array:
        query, key, value = operands
        return jax.nn.softmax(query @ key.T) @ value

    b, q, n, d = query.shape
    heads = [jnp.moveaxis(x, 2, 1).reshape(b * n, q, d) for x in (query * d**-0.5, key, value)]
    return jnp.moveaxis(jax.lax.map(head, tuple(heads)).reshape(b, n, q, d), 1, 2)


def milliseconds(function: Callable[..., Any], *operands: Array) -> float:
    """Of one call."""
    begin = time.perf_counter()
    jax.block_until_ready(function(*operands))
    return 1000 * (time.perf_counter() - begin)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (7)")
    rounds = parser.parse_args().rounds
    from dynamicid_jax.models.attention import attend_heads

    print("| map | pass | softmax kept | computed again | ratio |\n|---|---|---|---|---|")
    for name, shape in SHAPES.items():
        operands = [jax.random.normal(jax.random.key(i), shape) for i in range(3)]
        for what, pass_of in (("forward", jax.jit), ("forward and back", slopes)):
            ways = [pass_of(way) for way in (kept, attend_heads)]
            for way in ways:
                milliseconds(way, *operands)
            turns = [[milliseconds(way, *operands) for way in ways] for _ in range(rounds)]
            medians = [statistics.median(column) for column in zip(*turns, strict=True)]
            ratio = statistics.median(ours / theirs for theirs, ours in turns)
            print(
                f"| {name} | {what} | {medians[0]:.1f} | {medians[1]:.1f} | {ratio:.2f} |",
                flush=True,
            )


def slopes(way: Callable[..., Array]) -> Callable[..., Any]:
    """The gradient by all three operands."""
    return jax.jit(jax.grad(lambda *operands: jnp.square(way(*operands)).sum(), (0, 1, 2)))


if __name__ == "__main__":
    main()
