"""The programs of a StableHLO export as values: what each computes, from which weights, given which inputs.

A program is a function (weights by path, inputs by name) -> outputs by name; sizes called "b" (rows) and "p" (people)
are left open. They are the networks and the loop of inference/networks.py, with LoRA folded in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.diffusion.plans import SamplerPlan
from dynamicid_jax.diffusion.samplers import LoopState, Sampler, denoise_loop, get_sampler
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.inference.layout import map_sizes
from dynamicid_jax.inference.networks import Conditions, denoiser, make_steps
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.gate import FaceLayout
from dynamicid_jax.models.image_encoder import ImageEncoder
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.models.unet import UNet
from dynamicid_jax.models.vae import VAE
from dynamicid_jax.trees import nest
from dynamicid_jax.types import Params

NOBODY = "unconditional/tokens"  # face tokens of nobody, kept as a weight
EDGE = 1e-3  # cells: float32 edges may lie this far under the cell that float64 finds
RASTER = 96

Inputs = Mapping[str, Array]
Outputs = dict[str, Array]


@dataclass(frozen=True)
class Spec:
    """One input: shape with "b" and "p" for open sizes, dtype, and words for programs.json."""

    shape: tuple[int | str, ...]
    dtype: Any = np.float32
    about: str = ""

    def sized(self, rows: Any, people: Any) -> tuple[Any, ...]:
        """The shape for numbers, or symbols, of rows and people."""
        known = {"b": rows, "p": people}
        return tuple(known[size] if isinstance(size, str) else size for size in self.shape)


# Ranges of inputs that are no normal numbers, by name: for comparing programs with their sources.
RANGES = {"pictures": (0.0, 1.0), "timestep": (0.0, 999.0), "layout_strength": (0.0, 4.0)}
SOME_BOX = (0.1, 0.2, 0.7, 0.9)
SOME_IDS = 256  # every vocabulary has these


@dataclass(frozen=True, eq=False)
class Program:
    """One exported function.

    Attributes:
        function: (nested weights, inputs) -> outputs.
        components: of the weights that it reads.
        inputs: by name.
        outputs: their names, in the function's order.
        about: one line for programs.json.
    """

    function: Callable[[Params, Inputs], Outputs]
    components: tuple[str, ...]
    inputs: Mapping[str, Spec]
    outputs: tuple[str, ...]
    about: str

    def __call__(self, weights: Mapping[str, Array], inputs: Inputs) -> Outputs:
        """Runs it on flat weights {"component/path": array}."""
        return self.function(nest(weights), inputs)

    def sample(self, rows: int, people: int) -> dict[str, np.ndarray]:
        """Random inputs in the ranges that they have in use, the same for the same numbers."""
        dice, found = np.random.default_rng([rows, people]), {}
        for name, spec in self.inputs.items():
            shape = spec.sized(rows, people)
            if name == "boxes":
                values = np.broadcast_to(SOME_BOX, shape)
            elif np.dtype(spec.dtype).kind in "iu":
                values = dice.integers(0, SOME_IDS, shape)
            elif name in RANGES:
                values = dice.uniform(*RANGES[name], shape)
            else:
                values = dice.standard_normal(shape)
            found[name] = np.asarray(values, spec.dtype)
        return found


@dataclass(frozen=True)
class Sizes:
    """What is fixed in an export: pictures' size in pixels, the sampler and its steps."""

    height: int
    width: int
    sampler: str
    steps: int


def programs(config: ModelConfig, sizes: Sizes, dtype: Any) -> dict[str, Program]:
    """Every program that the model has networks for; `config` with LoRA folded in."""
    found = {
        "text_encoder": _text_encoder(config, dtype),
        "unet": _unet(config, sizes, dtype),
        "vae_decoder": _vae_decoder(config, sizes),
        "vae_encoder": _vae_encoder(config, sizes),
        **people_programs(config),
    }
    if config.face_projection is not None:
        found["sampler"] = _sampler(config, sizes, dtype)
    return found


def _text_encoder(config: ModelConfig, dtype: Any) -> Program:
    net = TextEncoder(config.text_encoder, dtype)

    def function(weights: Params, inputs: Inputs) -> Outputs:
        states, pooled = _apply(net, weights, "text_encoder", inputs["ids"])
        return {"states": states, "pooled": pooled}

    ids = Spec(("b", config.text_encoder.max_length), np.int32, "token ids")
    return Program(
        function,
        ("text_encoder",),
        {"ids": ids},
        ("states", "pooled"),
        "token ids to text states and the pooled state",
    )


def _vae_decoder(config: ModelConfig, sizes: Sizes) -> Program:
    net = VAE(config.vae)

    def function(weights: Params, inputs: Inputs) -> Outputs:
        return {"pictures": _picture(net, weights, inputs["latents"])}

    inputs = {"latents": _latents(config, sizes)}
    return Program(function, ("vae",), inputs, ("pictures",), "latents to pictures in [0, 1]")


def _vae_encoder(config: ModelConfig, sizes: Sizes) -> Program:
    net = VAE(config.vae)

    def function(weights: Params, inputs: Inputs) -> Outputs:
        mean, logvar = _apply(net, weights, "vae", 2 * inputs["pictures"] - 1, method="encode")
        return {"mean": mean * config.vae.scaling_factor, "logvar": logvar}

    pictures = Spec(("b", sizes.height, sizes.width, 3), about="RGB in [0, 1]")
    words = "pictures to mean and log variance of their latents, the mean scaled"
    return Program(function, ("vae",), {"pictures": pictures}, ("mean", "logvar"), words)


def _unet(config: ModelConfig, sizes: Sizes, dtype: Any) -> Program:
    net = UNet(config.unet, config.adapter, dtype)
    length = config.text_encoder.max_length
    inputs = {
        "latents": _latents(config, sizes),
        "timestep": Spec(("b",), about="in [0, 1000)"),
        "text": Spec(("b", length, config.unet.context_width), about="text states"),
    }
    if config.face_projection is not None:
        inputs |= _face_inputs(config) | {
            "layout_strength": Spec((), about="s >= 0 in boxes; 0 for one person anywhere")
        }

    def function(weights: Params, inputs: Inputs) -> Outputs:
        variables = {"params": weights["unet"], "adapter": weights.get("adapter", {})}
        faces, layout = inputs.get("faces"), None
        if faces is not None:
            layout = _layout(config, sizes, inputs, inputs["layout_strength"])
        arrays = inputs["latents"], inputs["timestep"], inputs["text"], faces, layout
        prediction: Any = net.apply(variables, *arrays)
        return {"prediction": prediction}

    return Program(function, ("unet", "adapter"), inputs, ("prediction",), "one step's prediction")


def people_programs(config: ModelConfig) -> dict[str, Program]:
    """The networks between a photograph and face tokens."""
    found = {}
    if (image := config.image_encoder) is not None:
        pixels = Spec(("b", image.image_size, image.image_size, 3), about="by CLIP's mean and std")
        found["image_encoder"] = _network(
            ImageEncoder(image), "image_encoder", {"pixels": pixels}, ("features", "embedding")
        )
    if (face := config.face_projection) is not None:
        cells = 1 if image is None else 1 + (image.image_size // image.patch_size) ** 2
        inputs = {
            "embedding": Spec(("b", face.id_width), about="of the recogniser, L2-normalised"),
            "features": Spec(("b", cells, face.image_width), about="of the image encoder"),
        }
        projection = FaceProjection(face)
        found["face_projection"] = _network(projection, "face_projection", inputs, ("tokens",))
    if (keypoints := config.keypoint_encoder) is not None:
        raster = Spec(("b", RASTER, RASTER, 1), about="-1, and +1 at the landmarks")
        found["keypoint_encoder"] = _network(
            KeypointEncoder(keypoints),
            "keypoint_encoder",
            {"raster": raster},
            ("feature",),
            statistics="keypoint_stats",
        )
    if (imr := config.imr) is not None:
        inputs = {
            "tokens": Spec((1, imr.tokens_per_person, imr.context_width), about="of one photo"),
            "source_keypoints": Spec((1, imr.keypoint_width)),
            "source_text": Spec((1, imr.text_width), about="pooled text of the face prompt"),
            "target_keypoints": Spec(("b", imr.keypoint_width)),
            "target_text": Spec(("b", imr.text_width)),
        }
        found["imr"] = _network(IMR(imr), "imr", inputs, ("edited",))
    return found


def _network(
    net: nn.Module,
    component: str,
    inputs: Mapping[str, Spec],
    outputs: tuple[str, ...],
    statistics: str = "",
) -> Program:
    """A network that is called with its inputs in order."""

    def function(weights: Params, given: Inputs) -> Outputs:
        variables = {"params": weights[component]}
        if statistics:
            variables["batch_stats"] = weights[statistics]
        made = jax.tree.leaves(net.apply(variables, *(given[name] for name in inputs)))
        return dict(zip(outputs, made, strict=True))

    components = (component, statistics) if statistics else (component,)
    return Program(
        function, components, inputs, outputs, f"{component.replace('_', ' ')} by itself"
    )


def _sampler(config: ModelConfig, sizes: Sizes, dtype: Any) -> Program:
    """Token ids, seeds and people to pictures: what a pipeline does, in one program."""
    unet, text_encoder = (
        UNet(config.unet, config.adapter, dtype),
        TextEncoder(config.text_encoder, dtype),
    )
    vae, sampler = VAE(config.vae), get_sampler(sizes.sampler)
    schedule = NoiseSchedule.from_config(config.schedule)
    plan = sampler.plan(schedule, sizes.steps)
    shape = _latents(config, sizes).shape[1:]
    length = config.text_encoder.max_length

    def function(weights: Params, inputs: Inputs) -> Outputs:
        ids = jnp.concatenate([inputs["negative_ids"], inputs["ids"]])
        text, _ = _apply(text_encoder, weights, "text_encoder", ids)
        variables = {"params": weights["unet"], "adapter": weights["adapter"]}
        faces = inputs["faces"]
        nobody = jnp.broadcast_to(weights["unconditional"]["tokens"][None, None], faces.shape)
        contexts = unet.apply(variables, text, jnp.concatenate([nobody, faces]), method="project")
        conditions = Conditions(
            contexts=contexts,  # type: ignore[arg-type]  # without mutable collections no pair
            layout=_layout(config, sizes, inputs, 0.0, rows=2),
            layout_strength=inputs["layout_strength"],
            layout_steps=inputs["layout_steps"],
            guidance_scale=inputs["guidance_scale"],
        )
        noise, keys = jax.vmap(lambda seed: _noise(seed, shape))(inputs["seed"])
        model = denoiser(unet, variables, conditions, make_steps(unet, variables, plan))
        latents = _sampled(model, sampler, schedule.prediction_type, plan, noise, keys)
        return {"pictures": _picture(vae, weights, latents), "latents": latents}

    inputs = {
        "ids": Spec(("b", length), np.int32, "token ids of the prompts"),
        "negative_ids": Spec(("b", length), np.int32, "of the negative prompts"),
        "seed": Spec(("b",), np.uint32, "one per picture"),
        **_face_inputs(config),
        "guidance_scale": Spec((), about="of classifier-free guidance"),
        "layout_strength": Spec((), about="s >= 0 in boxes; 0 for one person anywhere"),
        "layout_steps": Spec((), np.int32, "steps that the layout strength lasts"),
    }
    parts = ("text_encoder", "unet", "adapter", "vae", "unconditional")
    words = f"{sizes.steps} steps of {sizes.sampler}: pictures in [0, 1] and their latents"
    return Program(function, parts, inputs, ("pictures", "latents"), words)


def _sampled(
    model: Any, sampler: Sampler, prediction: Any, plan: SamplerPlan, noise: Array, keys: Array
) -> Float[Array, "b h w c"]:
    """All steps; gate maps are left out."""

    def without_gates(latents: Array, row: SamplerPlan, step: Array) -> tuple[Array, Any]:
        return model(latents, row, step)[0], {}

    steps = plan.timestep.shape[0]
    state = LoopState.start(noise, keys, {})
    return denoise_loop(without_gates, sampler, prediction, plan, state, 0, steps).latents


def _noise(seed: Array, shape: tuple[Any, ...]) -> tuple[Array, Array]:
    """Initial noise and further key of picture 0 of a seed, as the pipeline draws them."""
    pair = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0))
    return jax.random.normal(pair[0], shape), pair[1]


def _face_inputs(config: ModelConfig) -> dict[str, Spec]:
    face = config.face_projection
    assert face is not None
    tokens = ("b", "p", face.tokens_per_person, face.context_width)
    return {
        "faces": Spec(tokens, about="face tokens of p people in every picture"),
        "boxes": Spec(("b", "p", 4), about="x0, y0, x1, y1 in [0, 1]; 0, 0, 1, 1: anywhere"),
        "identity_scale": Spec((), about="factor of the face branch; 0: nobody"),
    }


def _layout(
    config: ModelConfig, sizes: Sizes, inputs: Inputs, strength: Any, rows: int = 1
) -> FaceLayout:
    """The layout of boxes that are known only at run time, as inference/layout.py makes it of known ones."""
    boxes = jnp.concatenate([inputs["boxes"]] * rows)
    people = jnp.arange(boxes.shape[1])
    down = config.vae.downscale
    levels = len(config.unet.block_channels)
    maps = map_sizes(sizes.height // down, sizes.width // down, levels)
    return FaceLayout(
        mix=(people[:, None] == people[None]).astype(jnp.float32),  # jnp.eye wants a known size
        inside={f"{h}x{w}": _inside(boxes, h, w) for h, w in maps},
        strength=strength,
        identity_scale=inputs["identity_scale"],
    )


def _inside(boxes: Float[Array, "b p 4"], h: int, w: int) -> Array:
    """Which cells of an h x w map each box covers, as [b, p, h * w]."""
    x0, y0, x1, y1 = (edge[..., None] for edge in jnp.moveaxis(boxes, -1, 0))

    def between(low: Array, high: Array, count: int) -> Array:
        cells = jnp.arange(count, dtype=jnp.float32)[None, None]
        first, last = (jnp.floor(edge * count + EDGE) for edge in (low, high))
        return (cells >= first) & (cells < last)

    rows, columns = between(y0, y1, h), between(x0, x1, w)
    return (rows[..., :, None] & columns[..., None, :]).reshape(*boxes.shape[:2], h * w)


def _latents(config: ModelConfig, sizes: Sizes) -> Spec:
    down = config.vae.downscale
    shape = ("b", sizes.height // down, sizes.width // down, config.vae.latent_channels)
    return Spec(shape, about="scaled latents")


def _picture(net: VAE, weights: Params, latents: Array) -> Float[Array, "b H W 3"]:
    """Scaled latents to pictures in [0, 1]."""
    pixels = _apply(net, weights, "vae", latents / net.config.scaling_factor, method="decode")
    return jnp.clip(pixels / 2 + 0.5, 0, 1)


def _apply(net: nn.Module, weights: Params, component: str, *inputs: Array, **more: Any) -> Any:
    return net.apply({"params": weights[component]}, *inputs, **more)
