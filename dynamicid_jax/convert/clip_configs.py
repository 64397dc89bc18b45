"""transformers' config files of CLIP towers, read into our dataclasses.

These files hold everything that transformers' base class knows (labels, generation, ...), so only
the keys that shape a CLIP tower are read. A tower with other parts has other tensors, which the
strict rule tables report.
"""

from pathlib import Path
from typing import Any, get_args

from dynamicid_jax.convert.settings import Settings, read_json
from dynamicid_jax.models.configs import (
    Activation,
    ImageEncoderConfig,
    TextEncoderConfig,
    from_dict,
)

OLD_EOS_ID = 2  # older text configs say so; the end of text really is the vocabulary's last id
BICUBIC = 3
ACTIVATIONS = get_args(Activation)


def read_text(path: Path, tokenizer: Path) -> TextEncoderConfig:
    """`text_encoder/config.json`; the tokenizer's end-of-text id where the config's is wrong.

    Raises:
        WeightsError: unreadable, or not a CLIP text tower.
    """
    settings = Settings(path)
    settings.choice("model_type", None, ("clip_text_model",))
    vocab_size = settings.size("vocab_size", 49408)
    eot = settings.get("eos_token_id")
    if eot is None or eot == OLD_EOS_ID:
        eot = _end_of_text(tokenizer, vocab_size)
    return settings.build(
        TextEncoderConfig,
        vocab_size=vocab_size,
        width=settings.size("hidden_size", 512),
        num_layers=settings.size("num_hidden_layers", 12),
        num_heads=settings.size("num_attention_heads", 8),
        mlp_width=settings.size("intermediate_size", 2048),
        max_length=settings.size("max_position_embeddings", 77),
        activation=settings.choice("hidden_act", "quick_gelu", ACTIVATIONS),
        norm_eps=settings.get("layer_norm_eps", 1e-5),
        eot_token_id=eot,
    )


def _end_of_text(tokenizer: Path, vocab_size: Any) -> Any:
    """The end-of-text token's id; by the tokenizer, since added words may follow it."""
    vocabulary = tokenizer / "vocab.json"
    found = read_json(vocabulary).get("<|endoftext|>") if vocabulary.is_file() else None
    return found if isinstance(found, int) else vocab_size - 1


def read_image(folder: Path) -> ImageEncoderConfig:
    """`config.json` and `preprocessor_config.json` of a CLIP vision folder or a whole CLIP model.

    Raises:
        WeightsError: unreadable, not a CLIP vision tower, or preprocessing that we do not do.
    """
    settings = Settings(folder / "config.json")
    tower = settings
    if settings.choice("model_type", None, ("clip_vision_model", "clip")) == "clip":
        if not isinstance(settings.get("vision_config"), dict):
            raise settings.refuse("vision_config", "an object")
        tower = Settings(settings.path, settings.get("vision_config"))
    size = tower.size("image_size", 224)
    tower.choice("num_channels", 3, (3,))
    values = {
        "width": tower.size("hidden_size", 768),
        "num_layers": tower.size("num_hidden_layers", 12),
        "num_heads": tower.size("num_attention_heads", 12),
        "mlp_width": tower.size("intermediate_size", 3072),
        "patch_size": tower.size("patch_size", 32),
        "image_size": size,
        # A whole model's vision_config has a projection_dim too, which transformers does not use.
        "projection_width": settings.size("projection_dim", 512),
        "activation": tower.choice("hidden_act", "quick_gelu", ACTIVATIONS),
        "norm_eps": tower.get("layer_norm_eps", 1e-5),
        **_preprocessing(folder / "preprocessor_config.json", size),
    }
    return from_dict(ImageEncoderConfig, values, str(settings.path))


def _preprocessing(path: Path, size: Any) -> dict[str, Any]:
    """Mean and deviation; nothing where the file is missing (CLIP's own then apply).

    Raises:
        WeightsError: a preparation other than resize (short side, bicubic), centre crop, normalise.
    """
    if not path.is_file():
        return {}
    settings = Settings(path)
    expected: dict[str, tuple[Any, ...]] = {
        "do_resize": (True,),
        "do_center_crop": (True,),
        "do_normalize": (True,),
        "resample": (BICUBIC,),
        "size": (size, {"shortest_edge": size}),
        "crop_size": (size, {"height": size, "width": size}),
        "rescale_factor": (1 / 255, 0.00392156862745098),
    }
    for key, allowed in expected.items():
        settings.choice(key, allowed[0], allowed)
    names = {"mean": "image_mean", "std": "image_std"}
    return {
        ours: settings.get(theirs) for ours, theirs in names.items() if theirs in settings.values
    }
