"""Is everything there? What is missing, where it is found and under which licence; nothing is loaded on a device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert import model_folder, published
from dynamicid_jax.convert.published import Files
from dynamicid_jax.errors import DynamicIDError, MissingPartError
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.inference.random_model import sd15_config
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.packaged import model_path
from dynamicid_jax.planning.base_shape import base_shape
from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.sources import Source

PUBLISHED_LANDMARKS = 106
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".pgm"}


@dataclass(frozen=True)
class Inputs:
    """What the user has, as typed; None: not given.

    Attributes:
        checkpoint: folder with DynamicID's files, or a model folder (then it needs no base), or "mini".
        base: diffusers folder; None: in the checkpoint's.
        image_encoder: CLIP vision folder; None: in the checkpoint's.
        face_pack: folder or name of a pack; None: the model's own.
        photos: a folder per person; None: made-up people, a rehearsal.
        judges: folder of the suites' judges; None: the folder in which the pack lies, where it has judges/, too.
    """

    checkpoint: str
    base: str | None = None
    image_encoder: str | None = None
    face_pack: str | None = None
    photos: str | None = None
    judges: str | None = None

    @property
    def is_converted(self) -> bool:
        """Whether the checkpoint is a model folder of ours."""
        return model_folder.is_model_folder(model_path(self.checkpoint))

    @property
    def base_folder(self) -> Path:
        """Where the base should be."""
        return Path(self.base or self.checkpoint).expanduser()

    @property
    def judges_folder(self) -> Path | None:
        """Where the judges are; None: the packaged ones, which know made-up people only."""
        if self.judges:
            return Path(self.judges).expanduser()
        beside = Path(self.face_pack).expanduser().resolve().parent if self.face_pack else None
        there = self.photos is not None and beside is not None and (beside / "judges").is_dir()
        return beside if there else None

    def files(self) -> Files:
        """DynamicID's files, as far as they are there."""
        given = Path(self.image_encoder).expanduser() if self.image_encoder else None
        found = Files(image_encoder=given).found_beside(Path(self.checkpoint).expanduser())
        if found.adapter is None:  # say what is there all the same
            folder = Path(self.checkpoint).expanduser() / "image_encoder"
            found = Files(image_encoder=given or (folder if folder.is_dir() else None))
        return found


@dataclass(frozen=True)
class Finding:
    """One thing that is needed.

    Attributes:
        what: its name.
        option: by which it is given.
        found: where it is; "" where it is missing.
        problem: what is wrong; "" where it is there.
        sources: where it is found.
        needed: without it nothing can be run; otherwise nobody can be edited, and some numbers stay empty.
    """

    what: str
    option: str
    found: str
    problem: str
    sources: tuple[Source, ...]
    needed: bool = True


def check(inputs: Inputs) -> list[Finding]:
    """Looks at everything."""
    return [*_model(inputs), *_face_pack(inputs), *_people(inputs)]


def can_edit(findings: Sequence[Finding]) -> bool:
    """Whether expressions and poses can be edited: all else that may be missing is for that."""
    return not any(one.problem for one in findings if not one.needed)


def _model(inputs: Inputs) -> Iterator[Finding]:
    if inputs.is_converted:
        folder = model_path(inputs.checkpoint)
        config = model_folder.read_config(folder)
        lacks = [name for name in ("adapter", "image_encoder") if getattr(config, name) is None]
        problem = f"model folder without {' and '.join(lacks)}" if lacks else ""
        yield Finding("model folder", "--checkpoint", str(folder), problem, sources.CHECKPOINT)
        edits = "" if config.imr else "model folder without IMR"
        yield Finding("IMR", "--checkpoint", str(folder), edits, sources.CHECKPOINT, needed=False)
        return
    base = published.base_folder(inputs.base_folder)
    problem = "" if base else f"{inputs.base_folder}: no unet/config.json in it"
    option = "--base" if inputs.base else "--base (or in --checkpoint)"
    yield Finding("base model", option, str(base or ""), problem, sources.BASE)
    files = inputs.files()
    yield _file("SAA.bin", files.adapter, "--checkpoint", sources.CHECKPOINT)
    yield _file("image encoder", files.image_encoder, "--image_encoder", sources.IMAGE_ENCODER)
    for name, file in (("IMR.bin", files.imr), ("key_point_encoder.bin", files.keypoint_encoder)):
        yield _file(name, file, "--checkpoint", sources.CHECKPOINT, needed=False)


def _file(
    what: str, file: Path | None, option: str, where: tuple[Source, ...], needed: bool = True
) -> Finding:
    problem = "" if file is not None and file.exists() else "not there"
    return Finding(what, option, str(file or ""), problem, where, needed)


def _face_pack(inputs: Inputs) -> Iterator[Finding]:
    """The pack, opened: a pack that cannot be used is as good as none."""
    named = inputs.face_pack
    if named is None:
        own = model_path(inputs.checkpoint) / model_folder.FACE_PACK
        named = str(own) if own.is_dir() else None
    option, pack, problem = "--face_pack", None, "not given, and the checkpoint has none of its own"
    if named is not None:
        try:
            pack, problem = FacePack.load(named), ""
        except DynamicIDError as error:
            problem = str(error)
    found = str(pack.folder) if pack else ""
    yield Finding("face pack", option, found, problem, sources.FACE_PACK)
    if pack is not None:
        points = _landmarks(inputs)
        lacks = "" if points in pack.landmark_sets else f"no {points}-point network in the pack"
        yield Finding("landmarks", option, found, lacks, sources.FACE_PACK, needed=False)


def _landmarks(inputs: Inputs) -> int:
    """How many the checkpoint was trained on."""
    if inputs.is_converted:
        config = model_folder.read_config(model_path(inputs.checkpoint)).keypoint_encoder
        return config.num_landmarks if config else 5
    return PUBLISHED_LANDMARKS


def _people(inputs: Inputs) -> Iterator[Finding]:
    if inputs.photos is None:
        return
    folder = Path(inputs.photos).expanduser()
    people = (
        [_pictures(one) for one in sorted(folder.iterdir()) if one.is_dir()]
        if folder.is_dir()
        else []
    )
    usable = sum(count >= 2 for count in people)
    problem = (
        "" if usable >= 3 else f"{usable} folders with two photographs or more; suite multi needs 3"
    )
    yield Finding("photographs", "--photos", str(folder) if usable else "", problem, sources.PHOTOS)
    judges = inputs.judges_folder
    there = judges is not None and judges.is_dir()
    problem = "" if there else "judges of real faces are needed with --photos"
    yield Finding("judges", "--judges", str(judges) if there else "", problem, sources.JUDGES)


def _pictures(folder: Path) -> int:
    return sum(file.suffix.lower() in PICTURES for file in folder.iterdir())


def refuse_missing(findings: Sequence[Finding]) -> None:
    """Stops where something is missing without which nothing can be run.

    Raises:
        MissingPartError: names all of it.
    """
    missing = [one for one in findings if one.problem and one.needed]
    if missing:
        named = "; ".join(f"{one.what} ({one.option}): {one.problem}" for one in missing)
        raise MissingPartError(
            f"reproduce: {len(missing)} things are missing, check.md says where they are found. {named}"
        )


def model_shape(inputs: Inputs) -> ModelConfig:
    """The model's config, as it will be after conversion; what it lacks has its usual size.

    Raises:
        WeightsError: a config that is damaged or not supported.
    """
    root = inputs.checkpoint if inputs.is_converted else str(inputs.base_folder)
    return base_shape(TrainConfig(base=root))[0]


def rehearsal(inputs: Inputs) -> str:
    """Why a run is none of the published checkpoint on real faces; "" where it is."""
    reasons = []
    if inputs.is_converted:
        reasons.append(f"the model is {inputs.checkpoint}, not the published checkpoint")
    elif model_shape(inputs).unet != sd15_config().unet:
        reasons.append("the base is not of SD1.5's size")
    if inputs.photos is None:
        reasons.append("the people are made up")
    return " and ".join(reasons)


def page(findings: Sequence[Finding]) -> str:
    """check.md: what is there, and of what is missing or limited where it is found."""
    lines = ["# What is there", "", "| what | option | state |", "|---|---|---|"]
    for one in findings:
        state = (
            f"**{'missing' if one.needed else 'limited'}**: {one.problem}"
            if one.problem
            else "there"
        )
        lines.append(f"| {one.what} | `{one.option}` | {state} |")
    wanted = dict.fromkeys(one.sources for one in findings if one.problem)
    for some in wanted:
        names = dict.fromkeys(one.what for one in findings if one.sources == some and one.problem)
        lines += ["", f"## Where to find: {', '.join(names)}", "", *table(some)]
    return "\n".join(lines) + "\n"


def table(some: Sequence[Source]) -> list[str]:
    """Places and licences, as lines of Markdown."""
    rows = [f"| {one.name} | {one.where} | {one.licence} | {one.note} |" for one in some]
    return ["| what | where | licence, as stated there | note |", "|---|---|---|---|", *rows]
