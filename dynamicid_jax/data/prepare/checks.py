"""Everything that can be refused before the first photograph is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from dynamicid_jax.data.prepare.records import said_of
from dynamicid_jax.data.prepare.scan import Scan
from dynamicid_jax.data.prepare.settings import Layout, PictureFormat, Settings, SplitBy
from dynamicid_jax.data.record import LANDMARK_SETS
from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.faces.expression import ExpressionJudge
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.record import no_landmarks
from dynamicid_jax.images import reference_hash, shown


@dataclass(frozen=True)
class Networks:
    """The networks of a preparation, checked.

    Attributes:
        landmark_set: points that rasters are drawn from; 0 where the rasters are given, or there are no faces.
        hashes: SHA-256 of every network's file, by name.
        pack_names: the face pack as `DatasetInfo` keeps it.
    """

    landmark_set: int
    hashes: Mapping[str, str]
    pack_names: tuple[str, ...]


def check_settings(settings: Settings) -> None:
    """Raises `InputError` for a number or a word that makes no sense."""
    ranges = {
        "crop_factor": (1.0, 8.0),
        "max_side": (16, 8192),
        "quality": (1, 100),
        "processes": (0, 1024),
        "sheet_pages": (0, 100),
        "seed": (0, 2**63),
    }
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise InputError(f"--{name} {value}: expected {low} to {high}")
    words = {"layout": Layout, "picture_format": PictureFormat, "split_by": SplitBy}
    for name, kind in words.items():
        if getattr(settings, name) not in get_args(kind):
            known = ", ".join(get_args(kind))
            raise InputError(f"--{name} {getattr(settings, name)}: expected one of {known}")
    share = settings.validation
    if not share >= 0 or (share > 1 and share != int(share)):
        raise InputError(f"--validation {share:g}: expected a share below 1 or a whole number")
    if settings.agreement is not None and not -1 <= settings.agreement <= 1:
        raise InputError(f"--agreement {settings.agreement:g}: expected a cosine, -1 to 1")
    if settings.landmarks is not None and settings.landmarks not in LANDMARK_SETS:
        raise InputError(f"--landmarks {settings.landmarks}: expected 5, 68 or 106")


def check_texts(found: Scan) -> None:
    """Raises `InputError` for a "face:" line that cannot be understood."""
    for photo in found.photos:
        said_of(photo)


def open_networks(settings: Settings, found: Scan) -> Networks:
    """Opens all networks once, so that a missing or damaged one stops before any work.

    Raises:
        InputError: no pack is given where one is needed; a judge of another contract.
        MissingPartError: the pack lacks a network.
        WeightsError: a file is damaged.
    """
    if settings.face_pack is None:
        if found.layout != "captions":
            raise InputError("--face_pack: needed to find faces and to tell people apart")
        if settings.expression_judge:
            raise InputError("--expression_judge: judges faces, which only a --face_pack finds")
        return Networks(0, {}, ())
    pack = FacePack.load(settings.face_pack, threads=1)
    count = settings.landmarks
    if count is not None and count not in pack.landmark_sets and found.layout != "variface":
        raise MissingPartError(no_landmarks(count, max(pack.landmark_sets)))
    files = {name: reference_hash(pack.folder / name) for name in sorted(pack.files.values())}
    hashes = dict(files)
    if settings.expression_judge:
        ExpressionJudge(settings.expression_judge)
        hashes["judge"] = reference_hash(settings.expression_judge)
    names = (shown(pack.name), *(f"{name}: {digest}" for name, digest in files.items()))
    given = found.layout == "variface"
    return Networks((count or 0) if given else count or max(pack.landmark_sets), hashes, names)
