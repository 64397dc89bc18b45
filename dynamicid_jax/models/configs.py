"""Every network's shape as a frozen dataclass; the defaults are SD1.5 and the published DynamicID.

`model.json` holds these classes field by field; an unknown key is an error (see `from_dict`).
"""

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dynamicid_jax.errors import WeightsError


@dataclass(frozen=True)
class UNetConfig:
    """Text-to-image UNet. Per-level tuples run from the finest level to the coarsest.

    SDXL is another set of these values plus two additions: the pooled-text/size embedding that is added to the time
    embedding, and a second text encoder whose states are concatenated with the first one's.
    """

    in_channels: int = 4
    out_channels: int = 4
    block_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    transformer_depth: tuple[int, ...] = (
        1,
        1,
        1,
        0,
    )  # transformer blocks per attention; 0: none at this level
    mid_transformer_depth: int = 1
    num_heads: tuple[int, ...] = (8, 8, 8, 8)
    layers_per_block: int = 2
    context_width: int = 768
    norm_groups: int = 32
    linear_projection: bool = (
        False  # how checkpoints store proj_in and proj_out: 1x1 convolution or linear
    )


@dataclass(frozen=True)
class VAEConfig:
    """Convolutional autoencoder: pictures to latents at 1/2**(levels - 1) of the size, and back."""

    in_channels: int = 3
    latent_channels: int = 4
    block_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    norm_groups: int = 32
    scaling_factor: float = 0.18215

    @property
    def downscale(self) -> int:
        """Pixels per latent cell along each side."""
        return 2 ** (len(self.block_channels) - 1)


Activation = Literal["quick_gelu", "gelu"]


@dataclass(frozen=True)
class TextEncoderConfig:
    """CLIP text tower."""

    vocab_size: int = 49408
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_width: int = 3072
    max_length: int = 77
    activation: Activation = "quick_gelu"
    norm_eps: float = 1e-5
    eot_token_id: int = 49407  # end of text; the pooled state is the one at its first occurrence


@dataclass(frozen=True)
class ImageEncoderConfig:
    """CLIP vision tower (default ViT-H/14) and the picture preprocessing it was trained with."""

    width: int = 1280
    num_layers: int = 32
    num_heads: int = 16
    mlp_width: int = 5120
    patch_size: int = 14
    image_size: int = 224
    projection_width: int = 1024
    activation: Activation = "gelu"
    norm_eps: float = 1e-5
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class AdapterConfig:
    """Semantic-Activated Attention: LoRA on every attention, a gated face branch on every cross-attention.

    `lora_rank` is 0 once LoRA has been folded into the base weights (models/lora.py).
    """

    lora_rank: int = 128
    lora_alpha: float | None = None  # factor alpha / rank when given, 1 otherwise (as published)
    lora_scale: float = 1.0
    gate_threshold: float = 0.3


@dataclass(frozen=True)
class FaceProjectionConfig:
    """id embedding and image features to face tokens (METHOD section 2)."""

    id_width: int = 512
    image_width: int = 1280
    context_width: int = 768
    tokens_per_person: int = 4
    depth: int = 4
    head_width: int = 64

    @property
    def num_heads(self) -> int:
        """Heads of the resampler, as published: context width over head width."""
        return self.context_width // self.head_width


@dataclass(frozen=True)
class KeypointEncoderConfig:
    """CNN over the 96 x 96 landmark raster.

    `num_landmarks` records which landmark set it was trained on; later stages have 2 to 32 times `stem_channels`.
    """

    width: int = 768
    num_landmarks: int = 106
    stem_channels: int = 16
    # PyTorch's BatchNorm counts batches; nothing reads the count, so models that differ in it are equal.
    batches_tracked: int = field(default=0, compare=False)


@dataclass(frozen=True)
class IMRConfig:
    """Identity-Motion Reconfigurator (METHOD section 4)."""

    width: int = 1024
    num_heads: int = 16
    head_width: int = 64
    tokens_per_person: int = 4
    context_width: int = 768
    keypoint_width: int = 768
    text_width: int = 768
    disentangle_depth: int = 1
    entangle_depth: int = 1
    null_keypoint: bool = (
        False  # a learned feature stands for "no target raster"; published checkpoints lack it
    )
    motion: Literal["both", "keypoints", "text"] = "both"  # what it is told of a motion (ablation)


@dataclass(frozen=True)
class ScheduleConfig:
    """Noise schedule and the base model's sampling conventions (METHOD section 6)."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["scaled_linear", "linear"] = "scaled_linear"
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    timestep_spacing: Literal["leading", "trailing", "linspace"] = "leading"
    steps_offset: int = 1
    set_alpha_to_one: bool = False


@dataclass(frozen=True)
class SamplingConfig:
    """What a call uses for arguments left at None."""

    sampler: str = "ddim"
    steps: int = 50
    height: int = 512
    width: int = 512
    guidance_scale: float = 5.0


@dataclass(frozen=True)
class ModelConfig:
    """A whole model: what `model.json` holds. A part that is None is absent from the model folder."""

    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    image_encoder: ImageEncoderConfig | None = None
    adapter: AdapterConfig | None = None
    face_projection: FaceProjectionConfig | None = None
    keypoint_encoder: KeypointEncoderConfig | None = None
    imr: IMRConfig | None = None
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    id_channels: Literal["rgb", "bgr"] = (
        "bgr"  # channel order given to the recogniser; "rgb": published checkpoints
    )
    reference_crop: Literal["none", "face x 2"] = (
        "face x 2"  # "none": published checkpoints see the whole photo
    )
    dtype: Literal["float32", "bfloat16", "float16", "int8"] = "float32"  # of the stored weights
    weights: Literal["trained", "random"] = "trained"


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return dataclasses.asdict(config)


T = TypeVar("T")
MAX_FLOAT = 1e300


def from_dict(cls: type[T], values: Any, where: str = "model.json") -> T:
    """Rebuilds a config from JSON values.

    Raises:
        WeightsError: an unknown key, or a value of the wrong kind; the message names `where` and the key.
    """
    if not isinstance(values, Mapping):
        raise WeightsError(
            f"{where}: expected an object with the keys of {cls.__name__}, got {values!r:.80}"
        )
    kinds = get_type_hints(cls)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise WeightsError(
            f"{where}: unknown key {unknown[0]!r}; {cls.__name__} has {', '.join(kinds)}"
        )
    return cls(
        **{key: _value(kinds[key], value, f"{where}: {key}") for key, value in values.items()}
    )


def _value(kind: Any, value: Any, where: str) -> Any:
    """One JSON value as the annotated kind (dataclass, optional, tuple, literal or plain)."""
    origin, options = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        inner = next(option for option in options if option is not types.NoneType)
        return None if value is None else _value(inner, value, where)
    if dataclasses.is_dataclass(kind):
        return from_dict(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        inner_kinds = [options[0]] * len(value) if options[-1] is Ellipsis else list(options)
        if len(inner_kinds) == len(value):
            return tuple(_value(k, v, where) for k, v in zip(inner_kinds, value, strict=True))
    elif origin is Literal and value in options:
        return value
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if (
            abs(value) < MAX_FLOAT
        ):  # neither infinite nor NaN, which JSON files may hold, nor a huge integer
            return float(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise WeightsError(f"{where}: expected {_said(kind)}, got {value!r:.80}")


_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _said(kind: Any) -> str:
    """A kind in words."""
    origin, options = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(repr(option) for option in options)
    if origin is tuple and options[-1] is Ellipsis:
        return f"a list, each {_said(options[0])}"
    if origin is tuple:
        return f"a list of {len(options)}"
    return _KINDS.get(kind, str(kind))
