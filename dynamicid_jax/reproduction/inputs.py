"""What a run is given: paths and names as they were typed, and where they lead."""

from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.convert import model_folder
from dynamicid_jax.convert.published import Files
from dynamicid_jax.packaged import mini_folder, model_path
from dynamicid_jax.reproduction.paper import SUITES


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
        suites: names, or files called so.
        train: photographs of other people, or a prepared dataset; "": what the recipes name; None: nothing is trained.
        recipes: of both stages.
        overrides: "key=value" of the recipes.
    """

    checkpoint: str
    base: str | None = None
    image_encoder: str | None = None
    face_pack: str | None = None
    photos: str | None = None
    judges: str | None = None
    suites: tuple[str, ...] = SUITES
    train: str | None = None
    recipes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def is_converted(self) -> bool:
        """Whether the checkpoint is a model folder of ours."""
        return model_folder.is_model_folder(model_path(self.checkpoint))

    @property
    def base_folder(self) -> Path:
        """Where the base should be."""
        return Path(self.base or self.checkpoint).expanduser()

    @property
    def pack(self) -> str | None:
        """The pack given, or the model's own; None: neither."""
        if self.face_pack is not None:
            return self.face_pack
        own = model_path(self.checkpoint) / model_folder.FACE_PACK
        return str(own) if own.is_dir() else None

    @property
    def cast(self) -> str:
        """Who is in the pictures, as suites call them."""
        return "made_up" if self.photos is None else "photos"

    @property
    def judges_folder(self) -> Path | None:
        """Where the judges are; None: the packaged ones, which know made-up people only."""
        if self.judges:
            return Path(self.judges).expanduser()
        beside = Path(self.face_pack).expanduser().resolve().parent if self.face_pack else None
        there = self.photos is not None and beside is not None and (beside / "judges").is_dir()
        return beside if there else None

    @property
    def opened_judges(self) -> Path | None:
        """The folder that an evaluation opens; None: it has none."""
        if self.judges_folder is not None or self.photos is not None:
            return self.judges_folder
        mini = mini_folder()
        return None if mini is None else mini / model_folder.FACE_PACK

    def files(self) -> Files:
        """DynamicID's files, as far as they are there."""
        given = Path(self.image_encoder).expanduser() if self.image_encoder else None
        found = Files(image_encoder=given).found_beside(Path(self.checkpoint).expanduser())
        if found.adapter is None:  # say what is there all the same
            folder = Path(self.checkpoint).expanduser() / "image_encoder"
            found = Files(image_encoder=given or (folder if folder.is_dir() else None))
        return found
