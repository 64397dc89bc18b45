"""The suites: `cpu` and `gpu` at SD1.5's size, and `small`, a rehearsal of both in a minute or two.

Names of workers say what a process holds; only what a worker loads is imported in it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cases import Case, Suite, Timed

PUBLISHED = "published attention (stand-in), one person"
PLAIN = "diffusers, plain UNet, SDPA, nobody"
PLAIN_COMPILED = "diffusers, plain UNet, SDPA, torch.compile and channels_last, nobody"


def cpu(size: str = "sd15", pixels: int = 512, trained: str = "mini") -> Suite:
    """On a CPU, in float32."""
    group = f"One guided step (2 passes of the UNet), {size}, {pixels} px, float32"
    step = partial(_guided_step, group, size, pixels)
    cases = (
        step("dynamicid-jax, nobody", 0),
        step("dynamicid-jax, one person in a box", 1),
        step("dynamicid-jax, four people in boxes", 4),
        _theirs(group, PLAIN, "plain", size, pixels, 0),
        _theirs(group, PUBLISHED, "published", size, pixels, 1),
        *_mini_pictures(trained),
        *_mini_steps(trained),
        *_host_rows(trained),
    )
    return Suite(
        name="cpu" if size == "sd15" else "small",
        cases=cases,
        load={
            "step": partial(_load_step, size, "float32"),
            "plain": partial(_load_plain, size),
            "published": partial(_load_published, size),
            "pictures": partial(_load_pipeline, trained, "float32"),
            "training": lambda: None,
            "host": lambda: None,
        },
        order=(("step", "published", "plain"), ("pictures",), ("training",), ("host",)),
        compare=(
            ("dynamicid-jax, one person in a box", PUBLISHED),
            ("dynamicid-jax, one person in a box", PLAIN),
            ("dynamicid-jax, nobody", PLAIN),
            ("dynamicid-jax, four people in boxes", "dynamicid-jax, one person in a box"),
        ),
    )


def gpu(size: str = "sd15", scale: int = 1, dtype: str = "bfloat16") -> Suite:
    """On one GPU, in bfloat16: whole pictures, both training steps, and diffusers beside them.

    `scale` divides the pictures' sides, for a rehearsal.
    """
    group = (
        f"Whole pictures, {size}, {dtype}: text, 50 guided DDIM steps, decoding; no face detection"
    )
    sides = [side // scale for side in (512, 768, 1024)]
    draw = partial(_picture, group, size)
    cases = [draw(f"{side} px, one person", pixels=side, people=1) for side in sides]
    cases += [
        draw(f"{sides[0]} px, nobody", pixels=sides[0], people=0),
        draw(f"{sides[0]} px, two people", pixels=sides[0], people=2),
        draw(f"{sides[0]} px, four people", pixels=sides[0], people=4),
        draw(f"{sides[0]} px, one person, 8 pictures", pixels=sides[0], people=1, pictures=8),
        draw(
            f"{sides[0]} px, one person, 20 steps of DPM-Solver++",
            pixels=sides[0],
            people=1,
            steps=20,
            sampler="dpmpp_2m",
        ),
    ]
    steps = f"Training steps, {size}, {dtype}, precomputed features, no remat"
    for batch in (16, 32, 64):
        cases.append(
            _training(steps, f"anchoring, {batch} pictures", "anchoring", size, dtype, batch)
        )
    cases.append(
        _training(
            steps, "reconfiguration, one person, 32 targets", "reconfiguration", size, dtype, 1
        )
    )
    beside = f"One guided step, {size}, {sides[0]} px, {dtype}, without decoding"
    cases += [
        _guided_step(beside, size, sides[0], "dynamicid-jax, nobody", 0),
        _guided_step(beside, size, sides[0], "dynamicid-jax, one person in a box", 1),
        _guided_step(beside, size, sides[0], "dynamicid-jax, four people in boxes", 4),
        _theirs(beside, PLAIN, "plain", size, sides[0], 0),
        _theirs(beside, PLAIN_COMPILED, "compiled", size, sides[0], 0),
        _theirs(beside, PUBLISHED, "published", size, sides[0], 1),
    ]
    device = "cuda" if scale == 1 else "cpu"
    return Suite(
        name="gpu" if scale == 1 else "small",
        cases=tuple(cases),
        load={
            "pictures": partial(_load_pipeline, size, dtype),
            "training": lambda: None,
            "step": partial(_load_step, size, dtype),
            "plain": partial(_load_plain, size, device, dtype),
            "compiled": partial(_load_plain, size, device, dtype, compiled=True),
            "published": partial(_load_published, size, device, dtype),
        },
        order=(("pictures",), ("step",), ("training",), ("plain",), ("published",), ("compiled",)),
        threads=4,
        environment=(("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),),
        compare=(
            ("dynamicid-jax, one person in a box", PLAIN_COMPILED),
            ("dynamicid-jax, one person in a box", "dynamicid-jax, nobody"),
        ),
    )


SUITES: dict[str, Callable[[], Suite]] = {
    "cpu": cpu,
    "gpu": gpu,
    "small": partial(cpu, "tiny", 128, "mini"),
    "small_gpu": partial(gpu, "tiny", 4, "float32"),
}


def _guided_step(group: str, size: str, pixels: int, name: str, people: int) -> Case:
    def build(loaded: Any) -> Timed:
        import ours

        return ours.guided_step(loaded, pixels, people)

    return Case(group, name, "step", build, tflop=_step_tflop(size, pixels), memory=people == 1)


def _theirs(group: str, name: str, worker: str, size: str, pixels: int, people: int) -> Case:
    def build(loaded: Any) -> Timed:
        import theirs

        return theirs.sampling(loaded, size, pixels, people)

    return Case(group, name, worker, build, tflop=_step_tflop(size, pixels), memory=True)


def _step_tflop(size: str, pixels: int) -> Callable[[], float]:
    def count() -> float:
        import ours

        return 2 * ours.unet_tflop(size, pixels)

    return count


def _picture(
    group: str,
    size: str,
    name: str,
    *,
    pixels: int,
    people: int,
    pictures: int = 1,
    steps: int = 50,
    **more: Any,
) -> Case:
    """Seconds per call; for several pictures, pictures per second."""
    options = {"height": pixels, "width": pixels, "steps": steps, "sampler": "ddim", **more}

    def build(loaded: Any) -> Timed:
        import ours

        timed = ours.picture(loaded, people, num_images=pictures, **options)
        return timed if pictures == 1 else lambda: pictures / timed()

    def count() -> float:
        import ours

        return ours.picture_tflop(size, pixels, steps, pictures)

    unit = "s" if pictures == 1 else "pictures/s"
    return Case(group, name, "pictures", build, unit, tflop=count, per=pictures)


def _mini_pictures(trained: str) -> Sequence[Case]:
    """Whole pictures of the packaged mini model's size."""
    group = f"Whole pictures, {trained} model, 96 px, 15 steps of DPM-Solver++, float32"
    more = {"pixels": 96, "steps": 15, "sampler": "dpmpp_2m"}
    return (
        _picture(group, trained, "one person", people=1, **more),
        _picture(group, trained, "three people", people=3, **more),
        _picture(group, trained, "one person, 8 pictures", people=1, pictures=8, **more),
    )


def _mini_steps(trained: str) -> Sequence[Case]:
    group = f"Training steps, {trained} model, float32, precomputed features"
    return (
        _training(group, "anchoring, 8 pictures", "anchoring", trained, "float32", 8),
        _training(
            group,
            "reconfiguration, 2 people, 4 targets each",
            "reconfiguration",
            trained,
            "float32",
            2,
            4,
        ),
    )


def _training(
    group: str, name: str, stage: str, size: str, dtype: str, batch: int, targets: int = 32
) -> Case:
    def build(_: Any) -> Timed:
        import training_steps

        return training_steps.training_step(_recipe(), size)

    def count() -> float:
        import training_steps

        return training_steps.training_tflop(_recipe(), size)

    def _recipe() -> Any:
        import training_steps

        return training_steps.recipe(stage, size, batch, dtype, targets)

    pictures = batch * (targets if stage == "reconfiguration" else 1)
    return Case(group, name, "training", build, "images/s", tflop=count, per=pictures)


def _host_rows(trained: str) -> Sequence[Case]:
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


def _load_step(size: str, dtype: str) -> Any:
    import ours

    return ours.load_step(size, dtype)


def _load_pipeline(size: str, dtype: str) -> Any:
    import ours

    return ours.load_pipeline(size, dtype)


def _load_plain(
    size: str, device: str = "cpu", dtype: str = "float32", compiled: bool = False
) -> Any:
    import theirs
    import torch

    return theirs.unet(size, device, getattr(torch, dtype), compiled)


def _load_published(size: str, device: str = "cpu", dtype: str = "float32") -> Any:
    import theirs
    import torch

    return theirs.published(size, 1, device, getattr(torch, dtype))
