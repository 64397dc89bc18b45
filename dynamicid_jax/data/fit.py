"""Whether a dataset can give what a batch asks for, and whether datasets mix."""

from collections.abc import Sequence
from typing import Any

from dynamicid_jax.data.batch import FACE, FEATURES, NETWORKS, TWINS, BatchSpec
from dynamicid_jax.data.feature_store import FeatureSource
from dynamicid_jax.data.transforms import feature_or_raw
from dynamicid_jax.errors import InputError


def check_fields(name: str, source: Any, spec: BatchSpec, tokenizer: Any) -> None:
    """One source against a batch.

    Raises:
        InputError: it lacks a field, or holds it in another form.
    """
    info = source.info
    wanted = set(spec.fields)
    if wanted & set(TWINS):
        raise InputError(
            f"{name}: loss.twin_weight needs pairs that differ in one factor alone, which only the world draws; "
            "give it world/scenes or world/portraits, or set it to 0"
        )
    if not len(source):
        raise InputError(f"{name}: holds no pictures")
    if "raster" in wanted and info.landmark_set != spec.landmark_set:
        raise InputError(
            f"{name}: its rasters hold {info.landmark_set} landmarks, the model's {spec.landmark_set}; prepare it with "
            f"a face pack that finds {spec.landmark_set}, or train another model"
        )
    faces = wanted & set(FACE)
    if faces and not info.embedding_width:
        raise InputError(f"{name}: its pictures have no faces; this stage needs {min(faces)}")
    if isinstance(source, FeatureSource):
        _check_table(name, source, spec)
    elif wanted & {"text_ids", "face_text_ids"} and tokenizer is None:
        raise InputError(f"{name}: holds prompts as text; a tokenizer is needed to read them")


def _check_table(name: str, source: FeatureSource, spec: BatchSpec) -> None:
    """Precomputed features against a batch."""
    held = {field.name: field for field in source.table.fields}
    for raw in spec.fields:
        if raw != "person" and feature_or_raw(raw, set(held)) not in held:
            raise InputError(
                f"{name}: holds no {FEATURES.get(raw, raw)}; it has {', '.join(held)}: precompute it again"
            )
        if NETWORKS.get(raw) in spec.trains and feature_or_raw(raw, set(held)) != raw:
            raise InputError(
                f"{name}: holds {FEATURES[raw]} of a frozen {NETWORKS[raw]}, which this stage trains; give it the "
                f"dataset of pictures, or precompute without --features for {raw}"
            )
    if "pixels" in spec.fields and source.table.image_size != spec.image_size:
        raise InputError(
            f"{name}: was precomputed at {source.table.image_size} px, training asks for {spec.image_size} px"
        )
    size = held["reference"].shape[0] if "reference" in held else spec.reference_size
    if "reference" in spec.fields and size != spec.reference_size:
        raise InputError(
            f"{name}: holds references of {size} px, the image encoder takes {spec.reference_size} px"
        )


def check_same_fields(
    names: Sequence[str], sources: Sequence[Any], spec: BatchSpec
) -> frozenset[str]:
    """Which raw fields come as features; all sources of a run must agree, and so must the conventions of their faces.

    Raises:
        InputError: they differ.
    """
    first, *rest = (_delivered(source, spec) for source in sources)
    for name, other, source in zip(names[1:], rest, sources[1:], strict=True):
        if other != first:
            raise InputError(
                f"{name} and {names[0]}: one delivers {_words(other)}, the other {_words(first)}; sources of one run "
                "must be pictures, or precomputed alike"
            )
        ours, theirs = sources[0].info, source.info
        for what in ("id_channels", "reference_crop", "embedding_width"):
            if set(FACE) & set(spec.fields) and getattr(ours, what) != getattr(theirs, what):
                raise InputError(
                    f"{name} and {names[0]}: their {what} differ ({getattr(theirs, what)!r} and "
                    f"{getattr(ours, what)!r}); prepare them alike"
                )
        models = [_models(one) for one in (sources[0], source)]
        if models[0] != models[1]:
            raise InputError(f"{name} and {names[0]}: were precomputed with different models")
    return frozenset(
        name for name in spec.fields if name in FEATURES and FEATURES[name] in dict(first)
    )


def _delivered(source: Any, spec: BatchSpec) -> tuple[tuple[str, str], ...]:
    """Names and dtypes of what a source delivers."""
    if not isinstance(source, FeatureSource):
        return tuple((name, "") for name in sorted(spec.fields))
    dtypes = {field.name: field.dtype for field in source.table.fields}
    names = (feature_or_raw(name, set(dtypes)) for name in spec.fields)
    return tuple(
        sorted((name, dtypes.get(name, "") if name in FEATURES.values() else "") for name in names)
    )


def _words(delivered: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(" ".join(filter(None, one)) for one in delivered)


def _models(source: Any) -> tuple[str, ...]:
    return source.table.models if isinstance(source, FeatureSource) else ()
