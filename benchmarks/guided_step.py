"""One guided UNet step at SD1.5 size with one person, beside diffusers' plain SDPA UNet without anybody.

    python benchmarks/guided_step.py --repeats 5

Each run is `STEPS` DDIM steps as they are sampled: ours in the pipeline's compiled loop, diffusers'
in a Python loop. Runs of the two are interleaved in one process, on random weights (time does not
depend on their values). diffusers and torch are optional: without them only our row is measured.
Prints the rows of docs/PERFORMANCE.md.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version

import jax
import jax.numpy as jnp
import numpy as np

from dynamicid_jax.diffusion.samplers import SAMPLERS
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.layout import face_layout, map_sizes
from dynamicid_jax.inference.random_model import random_weights, sd15_config
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.unet import UNet

TFLOP_FORWARD = {512: 0.803, 768: 2.148, 1024: 4.674}  # METHOD section 9
STEPS = 3


def ours(size: int, people: int) -> Callable[[], float]:
    """A function that samples with so many people, each in a box, and returns seconds per step."""
    config = replace(
        sd15_config(), image_encoder=None, face_projection=None, keypoint_encoder=None, imr=None
    )
    weights = jax.tree.map(jnp.asarray, random_weights(config))
    base, rest, adapter = fold(weights["unet"], weights["adapter"], config.adapter)
    unet, variables = UNet(config.unet, adapter), {"params": base, "adapter": rest}
    cells, key = size // 8, jax.random.key(0)
    boxes = [(i / people, 0.1, (i + 0.9) / people, 0.9) for i in range(people)]
    layout = face_layout(boxes, jnp.eye(people), map_sizes(cells, cells, 4)) if people else None
    text = jax.random.normal(key, (2, 77, 768))
    faces = jax.random.normal(key, (2, people, 4, 768)) if people else None
    conditions = networks.Conditions(
        contexts=networks.project(unet, variables, text, faces, None, 1),
        layout=layout,
        layout_strength=jnp.float32(2),
        layout_steps=jnp.int32(1),
        guidance_scale=jnp.float32(5),
    )
    sampler = SAMPLERS["ddim"]
    plan = sampler.plan(NoiseSchedule.from_config(config.schedule), STEPS)
    noise = jax.random.normal(key, (1, cells, cells, 4))

    def run() -> float:
        keys = jax.random.split(key, 1)
        state = networks.start_state(unet, variables, conditions, plan, noise, keys)
        jax.block_until_ready(state)
        begin = time.perf_counter()
        bounds = jnp.int32(0), jnp.int32(STEPS)
        jax.block_until_ready(
            networks.run_steps(
                unet, sampler, "epsilon", variables, conditions, plan, state, *bounds
            )
        )
        return (time.perf_counter() - begin) / STEPS

    return run


def theirs(size: int) -> Callable[[], float] | None:
    """The same for diffusers' UNet2DConditionModel with its default (SDPA) attention, or None without it."""
    try:
        import torch
        from diffusers import DDIMScheduler, UNet2DConditionModel
    except ImportError:
        return None
    torch.set_num_threads(os.cpu_count() or 1)
    unet = UNet2DConditionModel(
        cross_attention_dim=768
    ).eval()  # diffusers' defaults are SD1.5's otherwise
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    scheduler.set_timesteps(STEPS)
    cells = size // 8
    text = torch.randn(2, 77, 768)

    def run() -> float:
        latents = torch.randn(1, 4, cells, cells)
        begin = time.perf_counter()
        with torch.inference_mode():
            for timestep in scheduler.timesteps:
                noise = unet(latents.repeat(2, 1, 1, 1), timestep, text).sample
                guided = torch.lerp(noise[:1], noise[1:], 5.0)
                latents = scheduler.step(guided, timestep, latents).prev_sample
        return (time.perf_counter() - begin) / STEPS

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
    parser.add_argument("--people", type=int, default=1)
    args = parser.parse_args()
    runs = {
        f"dynamicid-jax, {args.people} in boxes": ours(args.size, args.people),
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
