"""The arguments of one call, checked and with the model's own defaults filled in."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from dynamicid_jax.diffusion.samplers import get_sampler
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.text import check_text

LAYOUT_SHARE = 0.24  # of the steps: 12 of 50, as in the published examples
MAX_SEED = 2**32
MIN_TILE = 8  # cells: smaller tiles are nearly all overlap
DEFAULTS: dict[str, Any] = {
    "negative_prompt": "",
    "height": None,
    "width": None,
    "steps": None,
    "sampler": None,
    "guidance_scale": None,
    "guidance_interval": (0.0, 1.0),
    "seed": 0,
    "num_images": 1,
    "gate": True,
    "identity_scale": 1.0,
    "layout_strength": 2.0,
    "layout_steps": None,
    "vae_tile": None,
}
"""Of what a call leaves out; `DynamicIDPipeline.__call__` spells them out."""


@dataclass(frozen=True)
class Request:
    """See `DynamicIDPipeline.__call__`; here every field has its final value."""

    prompt: str
    negative_prompt: str
    height: int
    width: int
    steps: int
    sampler: str
    guidance_scale: float
    guidance_interval: tuple[float, float]
    seed: int
    num_images: int
    gate: bool
    identity_scale: float
    layout_strength: float
    layout_steps: int
    vae_tile: int | None

    @classmethod
    def resolve(cls, config: ModelConfig, **given: Any) -> "Request":
        """Fills what is left out with `DEFAULTS` and None with the model's defaults, and checks every value.

        Raises:
            InputError: names the argument, what was expected and what came.
        """
        unknown = set(given) - set(DEFAULTS) - {"prompt"}
        if unknown or "prompt" not in given:
            raise InputError(
                f"request: expected a prompt and some of {', '.join(DEFAULTS)}; got {', '.join(given)}"
            )
        given = {**DEFAULTS, **given}
        own = config.sampling
        if given["sampler"] is None:
            given["sampler"] = own.sampler
        sampler = get_sampler(given["sampler"])
        if given["steps"] is None:
            given["steps"] = own.steps if given["sampler"] == own.sampler else sampler.default_steps
        for name in ("height", "width", "guidance_scale"):
            if given[name] is None:
                given[name] = getattr(own, name)
        for name in ("prompt", "negative_prompt"):
            check_text(given[name], name)
        _whole(given, "steps", 1, config.schedule.num_train_timesteps)
        if given["layout_steps"] is None:
            given["layout_steps"] = round(LAYOUT_SHARE * given["steps"])
        step = size_step(config)
        for name in ("height", "width"):
            _whole(given, name, step, 8192)
            if given[name] % step:
                low = given[name] // step * step
                raise InputError(
                    f"{name}: {given[name]} px is not a multiple of {step}; "
                    f"try {max(low, step)} or {low + step}"
                )
        _whole(given, "seed", 0, MAX_SEED - 1)
        _whole(given, "num_images", 1, 1024)
        _whole(given, "layout_steps", 0, config.schedule.num_train_timesteps)
        for name in ("guidance_scale", "identity_scale", "layout_strength"):
            given[name] = check_number(given[name], name)
        given["guidance_interval"] = _interval(given["guidance_interval"])
        if given["vae_tile"] is not None:
            _whole(given, "vae_tile", MIN_TILE * config.vae.downscale, 8192)
        return cls(**{**given, "gate": bool(given["gate"])})

    def latent_size(self, config: ModelConfig) -> tuple[int, int]:
        """Height and width of the latents, in cells."""
        return self.height // config.vae.downscale, self.width // config.vae.downscale

    @property
    def guided_steps(self) -> tuple[int, int]:
        """The first step with guidance and the first one after it."""
        first, last = (round(share * self.steps) for share in self.guidance_interval)
        return first, last

    def to_recipe(self) -> dict[str, Any]:
        """The fields, for the picture's metadata."""
        return asdict(self)


def size_step(config: ModelConfig) -> int:
    """Pictures' sides are multiples of it, so that latents can be halved at every level of the UNet: 64 for SD1.5."""
    return config.vae.downscale * 2 ** (len(config.unet.block_channels) - 1)


def _whole(given: dict[str, Any], name: str, low: int, high: int) -> None:
    """Checks a whole number in [low, high]."""
    value = given[name]
    if isinstance(value, bool) or (not isinstance(value, int) and not hasattr(value, "__index__")):
        raise InputError(f"{name}: expected a whole number, got {value!r}")
    if not low <= value <= high:
        raise InputError(f"{name}: expected a whole number from {low} to {high}, got {value}")
    given[name] = int(value)


def _interval(value: Any) -> tuple[float, float]:
    """Two rising fractions."""
    try:
        first, last = (float(one) for one in value)
    except (TypeError, ValueError):
        first, last = math.nan, math.nan
    if not 0 <= first <= last <= 1:
        raise InputError(
            f"guidance_interval: expected two fractions of the steps such as (0, 0.8), got {value!r}"
        )
    return first, last


def check_number(given: Any, name: str) -> float:
    """A scale or strength as a float.

    Raises:
        InputError: not a finite number of at least 0.
    """
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: expected a number, got {given!r}") from None
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{name}: expected a finite number of at least 0, got {value}")
    return value
