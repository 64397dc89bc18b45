"""One guided UNet step at SD1.5 size with one person, beside diffusers' plain SDPA UNet without anybody.

    python benchmarks/guided_step.py --repeats 5

Runs of the two are interleaved in one process on random weights (time does not depend on values).
diffusers and torch are optional: without them only our row is measured. Prints the rows of docs/PERFORMANCE.md.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.diffusion.guidance import classifier_free_guidance
from dynamicid_jax.inference.layout import face_layout, map_sizes
from dynamicid_jax.inference.random_model import random_weights, sd15_config
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.unet import UNet

TFLOP_FORWARD = {512: 0.803, 768: 2.148, 1024: 4.674}  # METHOD section 9


def ours(size: int) -> Callable[[], float]:
    """A function that runs one guided step with one person in a box."""
    config = sd15_config()
    weights = random_weights(unet_only(config))
    base, rest, adapter = fold(
        jax.tree.map(jnp.asarray, weights["unet"]), weights["adapter"], config.adapter
    )
    unet = UNet(config.unet, adapter)
    variables = {"params": base, "adapter": jax.tree.map(jnp.asarray, rest)}
    cells = size // 8
    layout = face_layout([(0.1, 0.1, 0.6, 0.9)], jnp.eye(1), map_sizes(cells, cells, 4))
    key = jax.random.key(0)
    latents = jax.random.normal(key, (1, cells, cells, 4))
    text, faces = jax.random.normal(key, (2, 77, 768)), jax.random.normal(key, (2, 1, 4, 768))
    contexts = jax.jit(lambda: unet.apply(variables, text, faces, method="project"))()

    @jax.jit
    def step(variables: dict, latents: jax.Array, contexts: dict) -> jax.Array:
        rows = jnp.concatenate([latents, latents])
        noise = unet.apply(
            variables, rows, jnp.full((2,), 500.0), contexts, layout, method="denoise"
        )
        return classifier_free_guidance(noise, jnp.float32(5))

    def run() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(step(variables, latents, contexts))
        return time.perf_counter() - begin

    return run


def unet_only(config):
    """The config without the parts that a step does not touch."""
    from dataclasses import replace

    return replace(
        config, image_encoder=None, face_projection=None, keypoint_encoder=None, imr=None
    )


def theirs(size: int) -> Callable[[], float] | None:
    """The same for diffusers' UNet2DConditionModel with its default (SDPA) attention, or None without it."""
    try:
        import torch
        from diffusers import UNet2DConditionModel
    except ImportError:
        return None
    torch.set_num_threads(os.cpu_count() or 1)
    unet = UNet2DConditionModel(
        cross_attention_dim=768
    ).eval()  # diffusers' defaults are SD1.5's otherwise
    cells = size // 8
    latents, text = torch.randn(1, 4, cells, cells), torch.randn(2, 77, 768)

    def run() -> float:
        begin = time.perf_counter()
        with torch.inference_mode():
            noise = unet(latents.repeat(2, 1, 1, 1), 500, text).sample
            torch.lerp(noise[:1], noise[1:], 5.0)
        return time.perf_counter() - begin

    return run


def machine() -> str:
    """Processor, cores and device in words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}, {date.today()}"


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, choices=sorted(TFLOP_FORWARD))
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    runs = {
        "dynamicid-jax, one person": ours(args.size),
        "diffusers, plain UNet, SDPA": theirs(args.size),
    }
    runs = {name: run for name, run in runs.items() if run is not None}
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(args.repeats):
        for name, run in runs.items():
            seconds[name].append(run())
    print(f"{args.size} px, float32, one guided step (2 forwards), {machine()}")
    for name in ("jax", "flax", "torch", "diffusers"):
        try:
            print(f"{name} {version(name)}", end="  ")
        except PackageNotFoundError:
            continue
    print("\n| what | median s | min | max | TFLOP | TFLOP/s |\n|---|---|---|---|---|---|")
    tflop = 2 * TFLOP_FORWARD[args.size]
    for name, row in seconds.items():
        median = statistics.median(row)
        print(
            f"| {name} | {median:.2f} | {min(row):.2f} | {max(row):.2f} | {tflop:.2f} | {tflop / median:.3f} |"
        )
    if len(seconds) == 2:
        mine, other = (np.array(row) for row in seconds.values())
        print(f"ratio ours / diffusers: median of pairs {np.median(mine / other):.2f}")


if __name__ == "__main__":
    main()
