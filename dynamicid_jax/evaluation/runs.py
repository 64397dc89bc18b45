"""run.json: what the pictures of a folder are of, and how they were drawn.

suite, edits, model, dtype, size, steps, sampler, settings    another of these needs another folder
name       of the model's folder
cell       pixels of a latent cell: what boxes are cut to
leaks      whom the leak check looked for, and where (leaks.py)

The last three are facts, written again by every phase 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from dynamicid_jax.convert.settings import read_json
from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.files import save_json
from dynamicid_jax.inference.pipeline import DynamicIDPipeline
from dynamicid_jax.inference.request import Request

RUN = "run.json"
FACTS = ("name", "cell", "leaks")
CHOSEN = ("identity_scale", "layout_strength", "gate")  # settings without a model's own


@dataclass(frozen=True)
class Settings:
    """How pictures are sampled; None: the model's own.

    Attributes:
        steps: sampling steps.
        sampler: by name.
        guidance_scale: of classifier-free guidance.
        guidance_interval: fractions of the steps between which it acts.
        identity_scale: factor of every shot's own.
        layout_strength: in boxes.
        gate: False for a model trained without.
    """

    steps: int | None = None
    sampler: str | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    identity_scale: float = 1.0
    layout_strength: float = 2.0
    gate: bool = True

    def ungated(self) -> "Settings":
        """The same for a model that was trained without gate."""
        return replace(self, gate=False)

    def call(self) -> dict[str, Any]:
        """What `Request` knows of them, without the scale that shots change."""
        return {name: value for name, value in vars(self).items() if name != "identity_scale"}


@dataclass(frozen=True)
class Run:
    """What run.json says to phase 2.

    Attributes:
        size: side of the pictures, in pixels.
        cell: side of a latent cell, in pixels.
        values: everything.
    """

    size: int
    cell: int
    values: Mapping[str, Any]


def claim_folder(
    pipe: DynamicIDPipeline,
    out: Path,
    settings: Settings,
    suite: str = "",
    edits: bool = True,
    leaks: Mapping[str, Any] | None = None,
) -> None:
    """Writes run.json, or compares with the one that is there; the folder is made if need be.

    Raises:
        InputError: the folder holds pictures of another run, or a setting is out of range.
        OutputError: it cannot be written.
    """
    request = Request.resolve(pipe.config, prompt="", **settings.call())
    run = {
        "name": pipe.name,
        "suite": suite,
        "edits": edits,
        "model": pipe.fingerprint,
        "dtype": jnp.dtype(pipe.dtype).name,
        "size": [request.width, request.height],
        "cell": pipe.config.vae.downscale,
        "steps": request.steps,
        "sampler": request.sampler,
        "settings": {
            "guidance_scale": request.guidance_scale,
            "guidance_interval": list(request.guidance_interval),
            **{name: getattr(settings, name) for name in CHOSEN},
        },
        "leaks": None if leaks is None else dict(leaks),
    }
    make_folder(out)
    there = read_json(out / RUN) if (out / RUN).is_file() else run
    apart = [name for name in run if name not in FACTS and there.get(name) != run[name]]
    if apart:
        raise InputError(
            f"{out}: holds pictures of another run ({', '.join(apart)} differ, see {RUN}); choose another --out"
        )
    if leaks is None:
        run["leaks"] = there.get("leaks")
    save_json(run, out / RUN)


def read_run(out: Path) -> Run:
    """What was drawn there.

    Raises:
        InputError: nothing yet, or run.json does not say enough.
    """
    if not (out / RUN).is_file():
        raise InputError(
            f"{out}: holds no {RUN}; draw pictures first (without --only, or with --only sample)"
        )
    values = read_json(out / RUN)
    try:
        return Run(int(values["size"][0]), int(values["cell"]), values)
    except (LookupError, TypeError, ValueError):
        raise InputError(
            f"{out / RUN}: expected size and cell, as drawing writes them; --only sample adds what is missing"
        ) from None


def make_folder(out: Path) -> None:
    """Makes a folder for results, if need be.

    Raises:
        OutputError: it cannot be one.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is there" if isinstance(error, FileExistsError) else error.strerror
        raise OutputError(
            f"{out}: cannot be made a folder ({reason}); choose another --out"
        ) from None
