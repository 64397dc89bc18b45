"""The published layout: a diffusers SD1.5 folder, DynamicID's files beside it (METHOD section 10).

    <root>/model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/       diffusers
    <root>/SAA.bin, IMR.bin, key_point_encoder.bin, image_encoder/, face_pack/         DynamicID
    <root>/dynamicid_config.json                                                       optional

What no config file says is read off the shapes. Without SAA.bin it is a plain text-to-image model.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynamicid_jax.convert import base_configs, clip_configs
from dynamicid_jax.convert.dynamicid_configs import (
    CONVENTIONS,
    read_adapter,
    read_imr,
    read_keypoint_encoder,
    read_notes,
)
from dynamicid_jax.convert.parts import Part
from dynamicid_jax.convert.rules_clip import IMAGE_RULES, TEXT_RULES
from dynamicid_jax.convert.rules_dynamicid import IMR_RULES, KEYPOINT_RULES, saa_rules
from dynamicid_jax.convert.rules_unet import unet_rules
from dynamicid_jax.convert.rules_vae import VAE_RULES
from dynamicid_jax.convert.tensors import Tensors, open_any, open_weights
from dynamicid_jax.models.configs import ModelConfig, SamplingConfig

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"
ADAPTER, IMR, KEYPOINT_ENCODER = "SAA", "IMR", "key_point_encoder"  # stems of the published files
DTYPE_NAMES = {"F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Files:
    """Where DynamicID's own files are; None: absent."""

    adapter: Path | None = None
    imr: Path | None = None
    keypoint_encoder: Path | None = None
    image_encoder: Path | None = None

    def found_beside(self, root: Path) -> "Files":
        """These files, or those of the published names under `root` where none is given.

        Of the same file in both forms the one that is no pickle is taken. Without an adapter nothing
        else is looked for: nothing would use it.
        """

        def first(given: Path | None, *names: str) -> Path | None:
            return given or next((root / name for name in names if (root / name).exists()), None)

        def weights(given: Path | None, stem: str) -> Path | None:
            return first(given, f"{stem}.safetensors", f"{stem}.bin")

        adapter = weights(self.adapter, ADAPTER)
        if adapter is None:
            return self
        return Files(
            adapter=adapter,
            imr=weights(self.imr, IMR),
            keypoint_encoder=weights(self.keypoint_encoder, KEYPOINT_ENCODER),
            image_encoder=first(self.image_encoder, "image_encoder"),
        )


def base_folder(root: Path) -> Path | None:
    """The diffusers folder: `root` itself or the only one in it."""
    if (root / "unet" / "config.json").is_file():
        return root
    inner = [folder.parent.parent for folder in root.glob("*/unet/config.json")]
    return inner[0] if len(inner) == 1 else None


def read_base(folder: Path) -> tuple[ModelConfig, list[Part]]:
    """A diffusers folder without anything of DynamicID.

    Raises:
        WeightsError: a config or the weights of a network are missing, damaged or not supported.
    """
    unet = base_configs.read_unet(folder / "unet" / "config.json")
    vae = base_configs.read_vae(folder / "vae" / "config.json")
    text = clip_configs.read_text(folder / "text_encoder" / "config.json", folder / "tokenizer")
    schedule = base_configs.read_schedule(folder / "scheduler" / "scheduler_config.json")
    size = base_configs.default_size(folder / "unet" / "config.json", vae.downscale)
    tensors = open_weights(folder / "unet", DIFFUSERS)
    config = ModelConfig(
        unet=unet,
        vae=vae,
        text_encoder=text,
        schedule=schedule,
        sampling=SamplingConfig(height=size, width=size),
        dtype=_stored_dtype(tensors),
    )
    return config, [
        Part(tensors, unet_rules(unet), ("unet",)),
        Part(open_weights(folder / "vae", DIFFUSERS), VAE_RULES, ("vae",)),
        Part(
            open_weights(folder / "text_encoder", TRANSFORMERS, "pytorch_model"),
            TEXT_RULES,
            ("text_encoder",),
        ),
    ]


def _stored_dtype(tensors: Tensors) -> Any:
    """The dtype of most of the UNet's values, by which the model goes where none is asked for."""
    sizes: dict[str, int] = {}
    for entry in tensors.entries.values():
        name = DTYPE_NAMES.get(entry.dtype, "float32")
        sizes[name] = sizes.get(name, 0) + entry.size
    return max(sizes, key=lambda name: sizes[name], default="float32")


def add_dynamicid(config: ModelConfig, files: Files) -> tuple[ModelConfig, list[Part]]:
    """DynamicID's files on top of a base model.

    Returns:
        the config with the new parts, and those parts.

    Raises:
        WeightsError: files that are missing, damaged, or not of this base.
    """
    parts: list[Part] = []
    if files.adapter is not None:
        tensors = open_any(files.adapter)
        notes = read_notes(files.adapter, config.unet)
        adapter, projection = read_adapter(tensors, notes)
        own = notes.own()
        conventions: dict[str, Any] = {"id_channels": "rgb", "reference_crop": "none"}
        if own is not None:
            conventions = {name: getattr(own, name) for name in CONVENTIONS}
        config = replace(config, adapter=adapter, face_projection=projection, **conventions)
        parts.append(Part(tensors, saa_rules(config.unet), ("adapter", "face_projection")))
    if files.image_encoder is not None:
        config = replace(config, image_encoder=clip_configs.read_image(files.image_encoder))
        tensors = open_weights(files.image_encoder, TRANSFORMERS, "pytorch_model")
        parts.append(Part(tensors, IMAGE_RULES, ("image_encoder",)))
    if files.keypoint_encoder is not None:
        tensors = open_any(files.keypoint_encoder)
        notes = read_notes(files.keypoint_encoder, config.unet)
        config = replace(config, keypoint_encoder=read_keypoint_encoder(tensors, notes))
        parts.append(Part(tensors, KEYPOINT_RULES, ("keypoint_encoder", "keypoint_stats")))
    if files.imr is not None:
        tensors = open_any(files.imr)
        notes = read_notes(files.imr, config.unet)
        config = replace(config, imr=read_imr(tensors, notes, config.text_encoder.width))
        parts.append(Part(tensors, IMR_RULES, ("imr",)))
    return config, parts
