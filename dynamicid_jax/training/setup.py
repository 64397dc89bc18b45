"""Everything a run needs before its first step, from a recipe: data, model, mesh, the compiled step.

What reads datasets is imported where it is used: runs on drawn people do without Grain and TFDS.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dynamicid_jax.config import SourceConfig, TrainConfig
from dynamicid_jax.convert.face_folder import load_faces
from dynamicid_jax.convert.face_onnx import FILE, read_recogniser
from dynamicid_jax.convert.model_folder import FACE_PACK, is_model_folder
from dynamicid_jax.data.batch import TWINS, BatchSpec
from dynamicid_jax.data.record import DatasetInfo
from dynamicid_jax.data.world import WorldLoader, is_world, world_info
from dynamicid_jax.errors import InputError
from dynamicid_jax.flops import count_jaxpr
from dynamicid_jax.models.face_configs import FaceNetsConfig
from dynamicid_jax.packaged import MINI, model_path
from dynamicid_jax.training.base_model import ON_TOP
from dynamicid_jax.training.heldout import Heldout
from dynamicid_jax.training.pictures import DRAWN_STAGES, Sheet
from dynamicid_jax.training.quiet_start import quiet
from dynamicid_jax.training.sharding import check_batch, make_mesh, put
from dynamicid_jax.training.shown import Shown, dataset_pictures, world_pictures
from dynamicid_jax.training.stage import Stage
from dynamicid_jax.training.stages import STAGES
from dynamicid_jax.training.state import TrainState, split
from dynamicid_jax.training.step import Frozen, Placed, Program, place_step
from dynamicid_jax.training.subjects import SUBJECTS, Subject
from dynamicid_jax.trees import flatten
from dynamicid_jax.types import Params


@dataclass
class Setup:
    """A run that is ready to start.

    Attributes:
        config: the recipe.
        base: the model on the host; `base.weights` stays as it was loaded.
        program: what a step is made of.
        mesh: the devices.
        placed: the compiled step.
        frozen: what does not train, on the devices.
        loader: batches.
        heldout: the held-out loss, where there is a split for it.
    """

    config: TrainConfig
    base: Any
    program: Program
    mesh: Mesh
    placed: Placed
    frozen: Frozen
    loader: Any
    heldout: Heldout | None

    @property
    def subject(self) -> Subject:
        """What kind of model this is."""
        return SUBJECTS[self.program.stage.subject]

    @property
    def spec(self) -> BatchSpec:
        """What a batch holds."""
        return self.subject.spec(self.config, self.program.stage, self.base.config)

    def fresh_state(self) -> TrainState:
        """The state before the first step."""
        weights = self.base.weights
        if self.config.model.quiet_start and "adapter" in self.base.fresh:
            weights = {**weights, "adapter": self._quiet()}
        trained, stats, _ = split(weights, self.program.stage)
        create = jax.jit(self.program.fresh_state, out_shardings=self.placed.state)
        return create(_masters(trained), _masters(stats))

    def _quiet(self) -> Params:
        """The adapter, silent and with its gates on the faces of a batch of its own."""
        with closing(_loader(self.config, self.base, self.spec, None)) as loader:
            batch = next(iter(loader)).batch
        constants = self.frozen["constants"]
        return quiet(self.program.networks, self.base.weights, constants, batch, self.config.seed)

    def state_like(self) -> Any:
        """Shapes, dtypes and places of the state: what a checkpoint is restored to."""
        trained, stats, _ = split(self.base.weights, self.program.stage)
        shapes = jax.eval_shape(self.program.fresh_state, _masters(trained), _masters(stats))
        return jax.tree.map(
            lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at),
            shapes,
            self.placed.state,
        )

    @property
    def pictures_per_step(self) -> int:
        """Pictures of the global batch."""
        return self.config.batch_size * (1 + self.config.loss.targets * self.program.stage.grouped)

    def compile(self, state: TrainState, batch: Any) -> int:
        """Compiles the step for batches of these shapes; its arithmetic over all devices."""
        traced = self.placed.step.trace(self.frozen, state, batch)  # type: ignore[attr-defined]
        self.placed = replace(self.placed, step=traced.lower().compile())
        return count_jaxpr(traced.jaxpr, platform=jax.default_backend())["total"]

    def parameters(self) -> dict[str, int]:
        """How many values train, and how many are frozen."""
        trained, _, _ = split(self.base.weights, self.program.stage)
        return {"trained": _count(trained), "frozen": _count(self.frozen["weights"])}

    def sheet(self) -> Sheet | None:
        """Sample pictures of the first held-out people; None where there are none, or nothing to draw of them."""
        config = self.config
        if not self.subject.draws or config.stage not in DRAWN_STAGES:
            return None
        shown = self._shown()
        if not shown.records:
            return None
        return Sheet(
            self.base.config,
            self.base.tokenizer,
            shown.records,
            stage=config.stage,
            image_size=config.data.image_size,
            steps=config.log.picture_steps,
            gate=config.model.gate,
            dtype=self.program.networks.dtype,
            motions=shown.motions,
            references=shown.references,
        )

    def _shown(self) -> Shown:
        """Whom a sheet is about: drawn or read, as the run's first source is."""
        config, source = self.config, self.config.data.sources[0]
        if not config.data.heldout:
            return Shown()
        if not is_world(source):
            return dataset_pictures(source.path, config.data.heldout, config.log.pictures)
        with closing(_heldout_loader(config, self.base, self.spec)) as loader:
            return world_pictures(loader, config.log.pictures)


def set_up(config: TrainConfig) -> Setup:
    """Opens the data, loads the base, compiles nothing yet.

    Raises:
        InputError: a recipe that does not fit itself, the data or the devices.
        MissingPartError, WeightsError: a base that does not fit the stage.
    """
    stage = find_stage(config)
    mesh = make_mesh(config.mesh)
    check_parts(config, stage, mesh)
    info = data_info(config, stage)
    subject = SUBJECTS[stage.subject]
    base = subject.load(config, stage, info)
    networks = subject.networks(config, base.config)
    program = Program(config, stage, networks)
    spec = subject.spec(config, stage, base.config)
    loader = _loader(config, base, spec, None)
    _check_features(config, base, loader)
    frozen = _frozen(program, base, loader.is_features)
    trained, stats, _ = split(base.weights, stage)
    _check_freeze(stage, base.weights)
    shapes = jax.eval_shape(program.fresh_state, _masters(trained), _masters(stats))
    placed = place_step(program, mesh, frozen, shapes)
    frozen = put(frozen, placed.frozen)
    heldout = _heldout(program, mesh, base, spec)
    return Setup(config, base, program, mesh, placed, frozen, loader, heldout)


def check_parts(config: TrainConfig, stage: Stage, mesh: Mesh) -> None:
    """A batch must divide by devices and parts; a stage that cuts its own large passes cuts targets, not persons.

    Raises:
        InputError: it does not.
    """
    parts = config.optimizer.accumulation
    check_batch(config.batch_size, 1 if stage.cuts_itself else parts, mesh)
    if stage.cuts_itself:
        check_batch(config.batch_size * config.loss.targets, parts, mesh, "batch_size x targets")


def find_stage(config: TrainConfig) -> Stage:
    """The recipe's stage, once its own rules are kept.

    Raises:
        InputError: unknown, or a recipe that contradicts itself.
    """
    if config.stage not in STAGES:
        raise InputError(f"stage {config.stage!r}: expected one of {', '.join(STAGES)}")
    stage = replace(STAGES[config.stage], freezes=config.freeze)
    if config.model.quiet_start and stage.name != "anchoring":
        raise InputError(f"model.quiet_start: is for stage 'anchoring', not {stage.name!r}")
    if config.model.anew and stage.name not in ON_TOP:
        raise InputError(f"model.anew: stage {stage.name!r} adds no parts to a model")
    if stage.name == "base" and config.loss.caption_weight:
        stage = replace(stage, needs=(*stage.needs, "image_encoder"))
    pairs = stage.name == "anchoring" and config.loss.twin_weight
    for source in config.data.sources:
        if source.twin_people and not (pairs and 0 < source.twin_people <= 1):
            raise InputError(
                f"{source.path}: twin_people {source.twin_people}: expected a share from 0 to 1, in stage 'anchoring' "
                "with loss.twin_weight; 0 without it"
            )
    if config.loss.twin_weight:
        if stage.name not in ("base", "anchoring"):
            raise InputError(
                f"loss.twin_weight: is for stages 'base' and 'anchoring', not {stage.name!r}"
            )
        twins = (name for name in TWINS if name.removeprefix("twin_") in stage.fields)
        stage = replace(stage, fields=(*stage.fields, *twins))
    if stage.name == "reconfiguration" and not config.loss.ldc_weight:
        stage = stage.without("pixels", "unet", "adapter", "vae")
    contrastive = stage.grouped and config.loss.contrastive_weight > 0
    if contrastive and config.batch_size < config.loss.min_persons:
        raise InputError(
            f"batch_size {config.batch_size}: the contrastive loss needs at least {config.loss.min_persons} persons "
            "per batch (loss.min_persons); enlarge it, or set loss.contrastive_weight to 0"
        )
    return stage


def _check_freeze(stage: Stage, weights: Params) -> None:
    """Every name that is to be frozen must be one, and something must be left that trains."""
    own = [path for path in flatten(weights) if path.split("/")[0] in stage.trains]
    unknown = [part for part in stage.freezes if not any(part in path for path in own)]
    if unknown:
        raise InputError(
            f"freeze: no weight of {', '.join(stage.trains)} has {unknown[0]!r} in its name; there is {own[0]}"
        )
    if not any(stage.moves(path) for path in own):
        raise InputError(
            f"freeze: {stage.freezes!r} leaves nothing of {', '.join(stage.trains)} to train"
        )


def data_info(config: TrainConfig, stage: Stage) -> DatasetInfo:
    """What holds for all of the run's data.

    Raises:
        InputError: no data, or datasets that do not go together.
    """
    if not config.data.sources:
        raise InputError(
            'data.sources: no data; give for example --config.data.sources=\'[{"path": "DATASET"}]\', '
            "a folder made by `dynamicid prepare`"
        )
    infos = [source_info(config, source) for source in config.data.sources]
    faces = [(s.path, i) for s, i in zip(config.data.sources, infos, strict=True) if i.landmark_set]
    if "id_embedding" in stage.fields and len(faces) < len(infos):
        raise InputError(
            f"data.sources: stage {stage.name!r} needs faces, and one dataset has none"
        )
    for path, info in faces[1:]:
        for name in ("landmark_set", "id_channels", "reference_crop", "embedding_width"):
            if getattr(info, name) != getattr(faces[0][1], name):
                raise InputError(
                    f"data.sources: {path} has {name} {getattr(info, name)!r}, {faces[0][0]} has "
                    f"{getattr(faces[0][1], name)!r}; datasets of one run must agree"
                )
    return faces[0][1] if faces else infos[0]


def source_info(config: TrainConfig, source: SourceConfig) -> DatasetInfo:
    """What holds for one source, drawn or read."""
    if not is_world(source):
        from dynamicid_jax.data.dataset import open_dataset

        return open_dataset(source.path).info
    faces = _face_nets(config)
    return world_info(faces[0] if faces else None)


def _face_nets(config: TrainConfig) -> tuple[FaceNetsConfig, Params] | None:
    """The networks that give identities to drawn people: as they were trained, or a model's own face pack."""
    named = config.data.face_nets
    if not named:
        return None
    if named == MINI or is_model_folder(Path(named)):
        pack = model_path(named) / FACE_PACK
        return read_recogniser(pack / FILE)
    return load_faces(Path(named))


def _loader(config: TrainConfig, base: Any, spec: BatchSpec, split: str | None, **more: Any) -> Any:
    """Batches of the recipe's sources; of their held-out part where `split` names it."""
    host = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    drawn = [source for source in config.data.sources if is_world(source)]
    if drawn:
        if len(config.data.sources) > 1:
            raise InputError("data.sources: a source of the world is drawn from alone; give one")
        return WorldLoader(
            drawn[0],
            spec,
            batch_size=config.batch_size,
            seed=config.seed,
            heldout=split is not None,
            tokenizer=base.tokenizer,
            faces=_face_nets(config),
            **host,
        )
    from dynamicid_jax.data.loader import make_loader

    options: dict[str, Any] = {"batch_size": config.batch_size, "seed": config.seed} | more
    return make_loader(config.data, spec, tokenizer=base.tokenizer, split=split, **host, **options)


def _check_features(config: TrainConfig, base: Any, loader: Any) -> None:
    """Precomputed features must come from this base's networks."""
    if loader.is_features:
        from dynamicid_jax.data.features import Frozen as FrozenNetworks
        from dynamicid_jax.data.features import check_models

        networks = FrozenNetworks(base.config, base.weights, base.tokenizer)
        check_models(str(config.data.sources[0].path), loader.models, networks)


def _frozen(program: Program, base: Any, features: Any) -> dict[str, Any]:
    """Frozen components in the compute dtype, without those that precomputed features replace."""
    stage, networks = program.stage, program.networks
    _, _, rest = split(base.weights, stage)
    kept = {part: rest[part] for part in (*stage.trains, *stage.needs) if part in rest}
    kept |= {
        part: rest[part] for part in ("keypoint_stats",) if part in rest and part in stage.needs
    }
    whole = _cast(kept, networks.dtype)
    fixed = SUBJECTS[stage.subject].constants(networks, base, whole)
    fixed |= {"updates": np.int32(program.config.steps)}
    spare = {"vae": "pixels", "image_encoder": "reference"}
    texts = [field for field in ("text_ids", "face_text_ids") if field in stage.fields]
    unused = {part for part, field in spare.items() if field in features}
    if texts and all(field in features for field in texts):
        unused.add("text_encoder")
    weights = {
        part: tree for part, tree in whole.items() if part not in unused or part in stage.trains
    }
    return {"weights": weights, "constants": fixed}


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), tree)


def _masters(tree: Any) -> Any:
    return _cast(tree, np.float32)


def _heldout(program: Program, mesh: Mesh, base: Any, spec: BatchSpec) -> Heldout | None:
    """The held-out batches, read once."""
    config = program.config
    if not config.data.heldout or not config.log.heldout_every:
        return None
    loader = _heldout_loader(config, base, spec)
    batches, keys = [], []
    for _, item in zip(range(config.log.heldout_batches), loader, strict=False):
        batches.append(item.batch)
        keys += item.keys
    loader.close()
    return Heldout(program, mesh, batches, keys, loader.variants) if batches else None


def _heldout_loader(config: TrainConfig, base: Any, spec: BatchSpec) -> Any:
    """The held-out part of the sources, once."""
    data = replace(config.data, workers=0)
    # One target per person: a held-out person may have two pictures only.
    small = replace(spec, targets=min(spec.targets, 1))
    return _loader(replace(config, data=data), base, small, config.data.heldout, repeat=False)


def _count(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
