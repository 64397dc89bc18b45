"""The suites: `cpu`, `cpu_more` and `gpu` at SD1.5's size, and a rehearsal of each in a few minutes.

Names of workers say what a process holds; only what a worker loads is imported in it.
"""

from collections.abc import Callable
from functools import partial

import rowmakers as make
from cases import Case, Suite

NOBODY = "dynamicid-jax, nobody"
ONE = "dynamicid-jax, one person in a box"
FOUR = "dynamicid-jax, four people in boxes"
PUBLISHED = "published attention (stand-in), one person"
PLAIN = "diffusers, plain UNet, SDPA, nobody"
CHANNELS_LAST = "diffusers, plain UNet, SDPA, channels_last, nobody"
COMPILED = "diffusers, plain UNet, SDPA, torch.compile and channels_last, nobody"


def cpu(size: str = "sd15", pixels: int = 512, trained: str = "mini") -> Suite:
    """On a CPU, in float32."""
    group = f"One guided step (2 passes of the UNet), {size}, {pixels} px, float32"
    step = partial(make.guided_step, group, size, pixels)
    cases = (
        step(NOBODY, 0),
        step(ONE, 1, memory=True, compiling=True),
        step(FOUR, 4),
        make.theirs(group, PLAIN, "plain", size, pixels, memory=True),
        make.theirs(group, PUBLISHED, "published", size, pixels, 1, memory=True),
        *make.mini_pictures(trained),
        *make.mini_steps(trained),
        *make.host_rows(trained),
    )
    return Suite(
        name="cpu" if size == "sd15" else "small",
        cases=cases,
        load={
            "step": partial(make.load_step, size, "float32"),
            "plain": partial(make.load_plain, size),
            "published": partial(make.load_published, size),
            "pictures": partial(make.load_pipeline, trained, "float32"),
            "training": make.nothing,
            "host": make.nothing,
        },
        order=(("step", "published", "plain"), ("pictures",), ("training",), ("host",)),
        compare=((ONE, PUBLISHED), (ONE, PLAIN), (NOBODY, PLAIN), (FOUR, ONE)),
    )


def cpu_more(size: str = "sd15", pixels: int = 512, trained: str = "mini") -> Suite:
    """On a CPU, what `cpu` has no time for: torch.compile, a whole checkpoint, other samplers and dtypes."""
    group = f"One guided step (2 passes of the UNet), {size}, {pixels} px, float32"
    drawn = f"Whole pictures, {trained} model, other samplers and dtypes"
    samplers = (("ddim", 50), ("dpmpp_2m", 20), ("euler", 20), ("lcm", 4))
    half = {"pixels": 96, "steps": 15, "sampler": "dpmpp_2m", "worker": "pictures_bfloat16"}
    cases = (
        make.guided_step(group, size, pixels, ONE, 1),
        make.theirs(group, CHANNELS_LAST, "channels_last", size, pixels),
        make.theirs(group, COMPILED, "channels_last", size, pixels, compiled=True),
        *make.sampler_rows(drawn, trained, 96, samplers),
        make.picture(
            drawn, trained, "96 px, one person, 15 steps of DPM-Solver++, bfloat16", **half
        ),
        *make.loading_rows(size),
        make.compiling(size, pixels, "float32"),
    )
    return Suite(
        name="cpu_more" if size == "sd15" else "small_more",
        cases=cases,
        load={
            "step": partial(make.load_step, size, "float32"),
            "channels_last": partial(make.load_plain, size, channels_last=True),
            "pictures": partial(make.load_pipeline, trained, "float32"),
            "pictures_bfloat16": partial(make.load_pipeline, trained, "bfloat16"),
            "loading": partial(make.load_checkpoint, size),
            "compiling": make.nothing,
        },
        order=(
            ("step", "channels_last"),
            ("pictures", "pictures_bfloat16"),
            ("loading",),
            ("compiling",),
        ),
        compare=(
            (ONE, CHANNELS_LAST),
            (ONE, COMPILED),
            (make.LOADED, make.WRITTEN),
            (make.LOADED_HALF, make.WRITTEN),
        ),
    )


def gpu(size: str = "sd15", scale: int = 1, dtype: str = "bfloat16") -> Suite:
    """On one GPU, in bfloat16: whole pictures, both training steps, and diffusers beside them.

    `scale` divides the pictures' sides, for a rehearsal.
    """
    side = 512 // scale
    beside = f"One guided step, {size}, {side} px, {dtype}, without decoding"
    step = partial(make.guided_step, beside, size, side)
    peer = partial(make.theirs, beside, size=size, pixels=side)
    cases = (
        *_gpu_pictures(size, scale, dtype),
        *_gpu_training(size, dtype),
        step(NOBODY, 0),
        step(ONE, 1, memory=True),
        step(FOUR, 4),
        peer(PLAIN, "plain", memory=True),
        peer(CHANNELS_LAST, "channels_last"),
        peer(COMPILED, "channels_last", compiled=True),
        peer(PUBLISHED, "published", people=1, memory=True),
    )
    plain = partial(make.load_plain, size, "cuda" if scale == 1 else "cpu", dtype)
    return Suite(
        name="gpu" if scale == 1 else "small_gpu",
        cases=cases,
        load={
            "pictures": partial(make.load_pipeline, size, dtype),
            "pictures_float32": partial(make.load_pipeline, size, "float32"),
            "training": make.nothing,
            "step": partial(make.load_step, size, dtype),
            "plain": plain,
            "channels_last": partial(plain, channels_last=True),
            "published": partial(make.load_published, size, "cuda" if scale == 1 else "cpu", dtype),
        },
        order=(
            ("pictures", "pictures_float32", "step", "plain", "channels_last", "published"),
            ("training",),
        ),
        at_once=True,
        threads=4,
        environment=(
            ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
            ("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95"),
        ),
        compare=((ONE, PUBLISHED), (ONE, PLAIN), (ONE, COMPILED), (ONE, NOBODY), (FOUR, ONE)),
    )


def _gpu_pictures(size: str, scale: int, dtype: str) -> tuple[Case, ...]:
    """Sizes, numbers of people and pictures, samplers, dtypes."""
    group = (
        f"Whole pictures, {size}, {dtype}: text, 50 guided DDIM steps (or as said), decoding; "
        "no face detection"
    )
    small, middle, large = (side // scale for side in (512, 768, 1024))
    draw = partial(make.picture, group, size)
    fast = {"steps": 20, "sampler": "dpmpp_2m", "pictures": 8}
    return (
        draw(f"{small} px, one person", pixels=small, memory=True),
        draw(f"{middle} px, one person", pixels=middle),
        draw(f"{large} px, one person", pixels=large, memory=True),
        draw(f"{small} px, nobody", pixels=small, people=0),
        draw(f"{small} px, two people", pixels=small, people=2),
        draw(f"{small} px, four people", pixels=small, people=4),
        draw(f"{small} px, one person, 8 pictures", pixels=small, pictures=8, memory=True),
        draw(
            f"{middle} px, one person, 8 pictures, 20 steps of DPM-Solver++", pixels=middle, **fast
        ),
        draw(f"{large} px, one person, 8 pictures, 20 steps of DPM-Solver++", pixels=large, **fast),
        *make.sampler_rows(group, size, small, (("dpmpp_2m", 20), ("euler", 20), ("lcm", 4))),
        draw(
            f"{small} px, one person, float32",
            pixels=small,
            worker="pictures_float32",
            memory=True,
        ),
    )


def _gpu_training(size: str, dtype: str) -> tuple[Case, ...]:
    """Both stages; what a card's memory does not hold stays empty."""
    group = f"Training steps, {size}, {dtype}, precomputed features, no remat (or as said)"
    step = partial(make.training, group, size=size, dtype=dtype)
    return (
        step("anchoring, 16 pictures", "anchoring", batch=16, memory=True),
        step("anchoring, 32 pictures", "anchoring", batch=32),
        step("anchoring, 64 pictures, remat of blocks", "anchoring", batch=64, remat="blocks"),
        step(
            "reconfiguration, one person, 32 targets in 4 parts",
            "reconfiguration",
            batch=1,
            parts=4,
            memory=True,
        ),
    )


SUITES: dict[str, Callable[[], Suite]] = {
    "cpu": cpu,
    "cpu_more": cpu_more,
    "gpu": gpu,
    "small": partial(cpu, "tiny", 128, "mini"),
    "small_more": partial(cpu_more, "tiny", 128, "mini"),
    "small_gpu": partial(gpu, "tiny", 4, "float32"),
}
