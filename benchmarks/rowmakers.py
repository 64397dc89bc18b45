"""Cases of each kind, and what their workers load. Only what a worker uses is imported in it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cases import Case, Timed

SAMPLERS = {
    "ddim": "DDIM",
    "dpmpp_2m": "DPM-Solver++",
    "euler": "Euler",
    "lcm": "LCM without guidance",
}


def guided_step(group: str, size: str, pixels: int, name: str, people: int, **more: Any) -> Case:
    """One of our guided steps."""

    def build(loaded: Any) -> Timed:
        import ours

        return ours.guided_step(loaded, pixels, people)

    return Case(group, name, "step", build, tflop=step_tflop(size, pixels), **more)


def theirs(
    group: str,
    name: str,
    worker: str,
    size: str,
    pixels: int,
    people: int = 0,
    *,
    compiled: bool = False,
    **more: Any,
) -> Case:
    """One of diffusers'; `more` is of `Case`."""

    def build(loaded: Any) -> Timed:
        import theirs

        made = theirs.compiled(loaded) if compiled else loaded
        return theirs.sampling(made, size, pixels, people)

    return Case(group, name, worker, build, tflop=step_tflop(size, pixels), **more)


def step_tflop(size: str, pixels: int) -> Callable[[], float]:
    """Of both passes."""

    def count() -> float:
        import ours

        return 2 * ours.unet_tflop(size, pixels)

    return count


def picture(
    group: str,
    size: str,
    name: str,
    *,
    pixels: int,
    people: int = 1,
    pictures: int = 1,
    steps: int = 50,
    sampler: str = "ddim",
    worker: str = "pictures",
    memory: bool = False,
) -> Case:
    """Seconds per call; for several pictures, pictures per second."""
    guided = sampler != "lcm"
    options = {"height": pixels, "width": pixels, "steps": steps, "sampler": sampler}
    if not guided:
        options["guidance_scale"] = 1.0

    def build(loaded: Any) -> Timed:
        import ours

        timed = ours.picture(loaded, people, num_images=pictures, **options)
        return timed if pictures == 1 else lambda: pictures / timed()

    def count() -> float:
        import ours

        return ours.picture_tflop(size, pixels, steps, pictures, guided)

    unit = "s" if pictures == 1 else "pictures/s"
    return Case(group, name, worker, build, unit, count, pictures, memory)


def sampler_rows(
    group: str, size: str, pixels: int, rows: Sequence[tuple[str, int]]
) -> Sequence[Case]:
    """Pictures of one person by other samplers."""
    return [
        picture(
            group,
            size,
            f"{pixels} px, one person, {steps} steps of {SAMPLERS[sampler]}",
            pixels=pixels,
            steps=steps,
            sampler=sampler,
        )
        for sampler, steps in rows
    ]


def training(
    group: str,
    name: str,
    stage: str,
    size: str,
    dtype: str,
    batch: int,
    *,
    targets: int = 32,
    parts: int = 1,
    remat: str = "none",
    memory: bool = False,
) -> Case:
    """Pictures (targets, in reconfiguration) per second of a training step."""

    def build(_: Any) -> Timed:
        import training_steps

        return training_steps.training_step(_recipe(), size)

    def count() -> float:
        import training_steps

        return training_steps.training_tflop(_recipe(), size)

    def _recipe() -> Any:
        import training_steps

        return training_steps.recipe(stage, size, batch, dtype, targets, parts, remat)

    pictures = batch * (targets if stage == "reconfiguration" else 1)
    return Case(group, name, "training", build, "images/s", count, pictures, memory)


def mini_pictures(trained: str) -> Sequence[Case]:
    """Whole pictures of the packaged mini model's size."""
    group = f"Whole pictures, {trained} model, 96 px, 15 steps of DPM-Solver++, float32"
    draw = partial(picture, group, trained, pixels=96, steps=15, sampler="dpmpp_2m")
    return (
        draw("nobody", people=0),
        draw("one person", memory=True),
        draw("two people", people=2),
        draw("four people", people=4),
        draw("one person, 8 pictures", pictures=8, memory=True),
    )


def mini_steps(trained: str) -> Sequence[Case]:
    """Training steps of its size."""
    group = f"Training steps, {trained} model, float32, precomputed features"
    step = partial(training, group, size=trained, dtype="float32", memory=True)
    return (
        step("anchoring, 8 pictures", "anchoring", batch=8),
        step(
            "reconfiguration, 2 people, 4 targets each",
            "reconfiguration",
            batch=2,
            targets=4,
        ),
    )


def host_rows(trained: str) -> Sequence[Case]:
    """Reading, loading, starting."""
    folder = str(Path(__file__).parents[1] / "dynamicid_jax" / "assets" / trained)

    def records(workers: int) -> Case:
        def build(_: Any) -> Timed:
            import input_pipeline

            return input_pipeline.reading(workers)

        name = f"precomputed records of 66 560 bytes, {workers} reading processes"
        return Case("Input pipeline", name, "host", build, "records/s")

    def starting(name: str, cached: bool) -> Case:
        def build(_: Any) -> Timed:
            import starting

            return starting.cold_start(folder, cached)

        return Case(group, name, "host", build)

    def load(_: Any) -> Timed:
        import starting

        return starting.loading(folder)

    group = f"Starting, {trained} model"
    return (
        records(0),
        records(1),
        Case(group, "loading from a warm file cache", "host", load),
        starting("Python to the first picture, nothing compiled before", False),
        starting("Python to the first picture, with the compilation cache", True),
    )


WRITTEN = "the folder's files"
LOADED = "peak memory of a process that loads it in float32"
LOADED_HALF = "peak memory of a process that casts it to bfloat16 while reading"


def loading_rows(size: str) -> Sequence[Case]:
    """Loading a whole checkpoint in new processes (worker "loading")."""
    group = f"Loading a diffusers folder of {size}'s size, written in float32"

    def row(name: str, method: str, unit: str = "s", **options: Any) -> Case:
        def build(loaded: Any) -> Timed:
            return partial(getattr(loaded, method), **options)

        return Case(group, name, "loading", build, unit)

    return (
        row("float32, warm file cache", "seconds", dtype="float32"),
        row(LOADED, "peak_gb", "GB", dtype="float32"),
        row("float32, from the disk", "seconds", dtype="float32", cold=True),
        row("bfloat16, warm file cache", "seconds", dtype="bfloat16"),
        row(LOADED_HALF, "peak_gb", "GB", dtype="bfloat16"),
        row(WRITTEN, "gigabytes", "GB"),
    )


def compiling(size: str, pixels: int, dtype: str) -> Case:
    """Of the sampling loop."""

    def build(_: Any) -> Timed:
        import starting

        return starting.compiling(size, pixels, dtype)

    name = f"the sampling loop, one person, {pixels} px"
    return Case(f"Tracing and compiling, {size}, {dtype}", name, "compiling", build)


def nothing() -> None:
    """For workers whose cases share nothing."""


def load_step(size: str, dtype: str) -> Any:
    """Our UNet."""
    import ours

    return ours.load_step(size, dtype)


def load_pipeline(size: str, dtype: str) -> Any:
    """Our pipeline."""
    import ours

    return ours.load_pipeline(size, dtype)


def load_plain(
    size: str, device: str = "cpu", dtype: str = "float32", channels_last: bool = False
) -> Any:
    """The UNet of diffusers."""
    import theirs
    import torch

    return theirs.unet(size, device, getattr(torch, dtype), channels_last)


def load_published(size: str, device: str = "cpu", dtype: str = "float32") -> Any:
    """The stand-in."""
    import theirs
    import torch

    return theirs.published(size, 1, device, getattr(torch, dtype))


def load_checkpoint(size: str) -> Any:
    """A folder on the disk."""
    import starting

    return starting.Checkpoint(size)
