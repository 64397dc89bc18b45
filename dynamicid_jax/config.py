"""What a training run is made of: a recipe's ConfigDict at the door, frozen dataclasses inside.

A recipe is a Python file with `get_config() -> ConfigDict` (configs/). `read_recipe` runs it, applies
`--config.a.b=value` overrides, and `from_config_dict` turns the result into a `TrainConfig`. A key that no class below
has is an error, and so is a value of another kind than the field's.
"""

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dynamicid_jax import python_files
from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.models.configs import from_dict, to_dict


@dataclass(frozen=True)
class SourceConfig:
    """One dataset that a run draws from.

    Attributes:
        path: a folder made by `dynamicid prepare` or `dynamicid precompute`, gs:// and other schemes too; or a kind of
            the world's pictures, "world/portraits" and so on (docs/WORLD.md), which need no files.
        weight: its share of the draws, relative to the other sources.
        split: which split trains.
        people: of the world: how many different ones; 0 takes 2^20.
        pictures: of the world: so many are drawn once and kept in memory; 0 draws new ones for ever.
        silence: of the world: share of a caption's phrases that are left out.
        silent: of the world: which of them may be ("shirt", "expression", "pose", "background").
        twin_people: of the world, in `anchoring` with loss.twin_weight: share of the pairs that differ in who is drawn;
            the rest differ in the expression.
    """

    path: str = ""
    weight: float = 1.0
    split: str = "train"
    people: int = 0
    pictures: int = 0
    silence: float = 0.0
    silent: tuple[str, ...] = ("shirt", "expression", "pose", "background")
    twin_people: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """How examples reach the devices.

    Attributes:
        sources: datasets, drawn from by weight.
        heldout: the split of the same datasets on which the held-out loss is measured; "" for none.
        image_size: side of the training pictures in pixels.
        workers: processes that read and decode on every host; 0 does it in the training process.
        prefetch: batches that are prepared ahead.
        max_damaged: share of damaged records, of those drawn, above which the run stops.
        face_nets: where the recogniser that gives drawn people their identities is: a folder of face networks
            (WORKDIR/model of configs/mini/face_pack), "mini", or a model folder with a face pack of ours in it.
    """

    sources: tuple[SourceConfig, ...] = ()
    heldout: str = "validation"
    image_size: int = 512
    workers: int = 4
    prefetch: int = 4
    max_damaged: float = 0.01
    face_nets: str = ""


@dataclass(frozen=True)
class ModelChanges:
    """Where the model differs from the base's own config; None keeps the base's value.

    Attributes:
        shapes: a model whose shapes new parts take (a name or file as for `random_base`); "": the published ones.
        anew: what the stage trains starts from fresh weights even where the base has it; parts that were trained on
            top of it are left out.
        quiet_start: in `anchoring`, a fresh face branch begins silent and with its gates on the first batch's faces
            (training/quiet_start.py); False is METHOD's start.
        gate: False trains without the gate (ablation).
        gate_threshold: gates below it become 0.
        lora_rank: of every LoRA.
        lora_alpha: LoRA's factor is alpha / rank when given, else 1.
        tokens_per_person: face tokens.
        projection_depth: layers of the face projection's resampler.
        imr_depth: layers of DisentangleNet and of EntangleNet.
        imr_width: width of IMR's layers.
        imr_motion: what IMR is told of a motion: "both", "keypoints" only or "text" only (ablation).
        null_keypoint: whether a new IMR has the learned "no raster" feature.
        guidance_scale: the model's own, for sampling; what pairs (`loss.twin_weight`) have taught wants less.
    """

    shapes: str = ""
    anew: bool = False
    quiet_start: bool = False
    gate: bool = True
    gate_threshold: float | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    tokens_per_person: int | None = None
    projection_depth: int | None = None
    imr_depth: int | None = None
    imr_width: int | None = None
    imr_motion: Literal["both", "keypoints", "text"] | None = None
    null_keypoint: bool = True
    guidance_scale: float | None = None


@dataclass(frozen=True)
class LossConfig:
    """Weights and rates of the losses (METHOD section 5).

    Attributes:
        drop_image: share of examples whose face tokens are replaced by the unconditional ones.
        drop_text: share of examples whose prompt is replaced by the empty one.
        drop_both: share of examples with both replaced.
        min_snr_gamma: weights timesteps by min(SNR, gamma) / SNR (arXiv 2303.09556); None weights all alike.
        dfm_weight: of the distance between edited and target tokens.
        ldc_weight: of the distance between the predictions they lead to.
        contrastive_weight: of InfoNCE on disentangled features; 0 gives the published losses exactly.
        ldc_prompt: the fixed prompt under which predictions are compared; "" is METHOD's.
        temperature: of InfoNCE.
        min_persons: persons per global batch below which InfoNCE is refused.
        targets: m, target pictures per person and step (reconfiguration).
        null_keypoint_rate: share of targets whose raster is replaced by the learned null feature.
        kl_weight: of the autoencoder's divergence from a normal distribution.
        face_weight: factor on the loss inside face boxes; 1 treats all cells alike.
        gate_weight: in `anchoring` with `model.gate`, of gates' distance from the face boxes; 0 is METHOD's, where the
            loss of the picture alone leads gates to faces.
        caption_weight: in `base`, of the captions' distance from what the image encoder sees; 0 lets the text encoder
            forget how pictures and words compare.
        twin_weight: in `base` and `anchoring` on the world's pictures, of (10) in diffusion/losses.py: what words and
            face tokens do, from pairs of renderings that differ in one factor alone; 0 draws no pairs.
        twin_from: timestep from which pairs count: before it the noisy picture shows the difference itself.
    """

    drop_image: float = 0.05
    drop_text: float = 0.05
    drop_both: float = 0.05
    min_snr_gamma: float | None = None
    dfm_weight: float = 1.0
    ldc_weight: float = 1.0
    contrastive_weight: float = 0.1
    ldc_prompt: str = ""
    temperature: float = 0.07
    min_persons: int = 8
    targets: int = 32
    null_keypoint_rate: float = 0.2
    kl_weight: float = 1e-6
    face_weight: float = 1.0
    gate_weight: float = 0.0
    caption_weight: float = 0.0
    twin_weight: float = 0.0
    twin_from: int = 300


@dataclass(frozen=True)
class OptimizerConfig:
    """The rule of the updates and its schedule.

    Attributes:
        rule: "adamw", or "muon" (arXiv 2502.16982) for matrices, with AdamW for all else: rates of the same size.
        learning_rate: after the warm-up.
        warmup: updates over which the rate rises linearly from 0.
        schedule: "constant" or "cosine" (to 0 at the last update) after the warm-up.
        weight_decay: decoupled; on kernels only, not on biases, norms or embeddings of rank 1.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        clip_norm: largest norm of the whole gradient; None does not clip.
        accumulation: parts into which a batch is cut, one after the other, to save memory.
        ema_decay: of the averaged copy of what trains; 0 keeps none.
    """

    rule: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-4
    warmup: int = 500
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 1e-2
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    clip_norm: float | None = 1.0
    accumulation: int = 1
    ema_decay: float = 0.0


@dataclass(frozen=True)
class MeshConfig:
    """How devices are arranged.

    Attributes:
        data: devices along the batch; -1 takes all that fsdp leaves.
        fsdp: devices over which weights and optimizer state are cut as well; 1 keeps them whole everywhere.
    """

    data: int = -1
    fsdp: int = 1


@dataclass(frozen=True)
class CheckpointConfig:
    """What survives an interruption.

    Attributes:
        every: steps between two checkpoints; 0 goes by time alone.
        minutes: of the run's time between two, where that comes first, so that no crash costs more; 0 goes by steps
            alone, as several processes always do, whose clocks would disagree.
        keep: how many of the newest are kept.
        max_bad_steps: updates in a row that may be skipped for NaN or Inf before the run stops.
    """

    every: int = 1000
    minutes: float = 10.0
    keep: int = 3
    max_bad_steps: int = 10


@dataclass(frozen=True)
class LogConfig:
    """What a run tells.

    Attributes:
        every: steps between two lines of metrics.
        pictures_every: steps between two sheets of sample pictures; 0 draws none.
        pictures: people of the held-out split on a sheet.
        picture_steps: sampling steps of a sheet.
        heldout_every: steps between two measurements of the held-out loss; 0 measures none.
        heldout_batches: batches of the held-out split that are measured.
        first_look: step of the first sheet and measurement after those of step 0, which come again at twice the step
            until their own number takes over, so that a run shows early whether it learns; 0 waits for that number.
        tensorboard: whether to write TensorBoard files beside metrics.jsonl.
    """

    every: int = 50
    pictures_every: int = 1000
    pictures: int = 4
    picture_steps: int = 20
    heldout_every: int = 1000
    heldout_batches: int = 8
    first_look: int = 100
    tensorboard: bool = True


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        stage: name of a stage (training/stages.py).
        base: the model that training starts from: a model folder, the published layout, or "mini".
        random_base: shape of a base with random weights ("tiny", "sd15", or a JSON file with a model config), for
            pretraining and tests; used where `base` is "".
        tokenizer: a tokenizer folder for a random base; "" writes one that knows single bytes.
        image_encoder: a CLIP vision folder, for a base that comes without one.
        freeze: parts of names: weights of the stage that have one in theirs stay as they are; ("lora",) in anchoring
            trains the face branch on a base that stays as it is.
        batch_size: examples per update over all devices: pictures, or persons in reconfiguration.
        steps: updates.
        minutes: 0, or a limit on the run's time, all of it and all its sessions counted: the run ends then, as a
            finished one, after at most `steps` updates, and a cosine ends with it (training/time_budget.py).
        seed: of everything random.
        dtype: what networks compute in; what trains is kept in float32.
        remat: what the backward pass computes again instead of keeping: "none", "blocks" (keeps the maps between
            UNet blocks) or "dots" (keeps products, too).
    """

    stage: str = "anchoring"
    base: str = ""
    random_base: str = ""
    tokenizer: str = ""
    image_encoder: str = ""
    freeze: tuple[str, ...] = ()
    batch_size: int = 8
    steps: int = 1000
    minutes: float = 0.0
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    remat: Literal["none", "blocks", "dots"] = "none"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelChanges = field(default_factory=ModelChanges)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    log: LogConfig = field(default_factory=LogConfig)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Runs a recipe and applies overrides such as "optimizer.learning_rate=3e-4".

    Raises:
        InputError: no such file, one that does not run, no `get_config` in it, an unknown key or a value of the wrong
            kind.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"--config {path}: no such file; recipes are in configs/")
    values = python_files.call(file, "get_config", "a recipe returns a ConfigDict")
    for override in overrides:
        key, _, text = override.partition("=")
        _set(values, key, text)
    return from_config_dict(values, str(path))


def from_config_dict(values: Any, where: str = "config") -> TrainConfig:
    """A ConfigDict (or nested dict) as a `TrainConfig`.

    Raises:
        InputError: an unknown key or a value of the wrong kind.
    """
    if not hasattr(values, "to_dict") and not isinstance(values, Mapping):
        raise InputError(f"{where}: expected a ConfigDict, got {type(values).__name__}")
    plain = values.to_dict() if hasattr(values, "to_dict") else dict(values)
    try:
        return from_dict(TrainConfig, _lists(plain), where)
    except WeightsError as error:
        raise InputError(str(error)) from None


def to_config_dict(config: TrainConfig) -> Any:
    """The same as a locked ConfigDict: what a recipe starts from."""
    from ml_collections import ConfigDict

    values = ConfigDict(to_dict(config))
    values.lock()
    return values


def _lists(value: Any) -> Any:
    """Tuples as lists, as JSON would have them."""
    if isinstance(value, Mapping):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _set(values: Any, key: str, text: str) -> None:
    """One override, in place."""
    *parents, leaf = key.split(".")
    for name in parents:
        values = _child(values, name, key)
    _child(values, leaf, key)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text  # a word
    if hasattr(values, "ignore_type"):
        with values.ignore_type():  # the dataclass checks the kind
            values[leaf] = value
    else:
        values[leaf] = value


def _child(values: Any, name: str, key: str) -> Any:
    """What stands under one name; a list's entries are counted from 0.

    Raises:
        InputError: nothing stands there.
    """
    if isinstance(values, list | tuple) and name.isdecimal() and int(name) < len(values):
        return values[int(name)]
    known = sorted(values.keys()) if hasattr(values, "keys") else []
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = (
            f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(known) or 'no keys'}"
        )
        raise InputError(f"--config.{key}: the config has no {name!r} there{hint}")
    return values[name]
