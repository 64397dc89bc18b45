"""A suite: which pictures of whom are drawn, who judges them, what is measured and asked. Suites are TOML files.

    about = "..."
    [made_up]             people of the world: people (how many), judges, prompts
    [photos]              the same for people photographed in a folder (--photos); one of the two may be missing
    [pictures.KIND]       series.Pictures
    [claims.NAME]         claims.Claim
    [rows.NUMBER]         title, least or most by level (nan asks for nothing), clear, of_ceiling, better, chance

`judges` is the name of a file judges_NAME.toml beside the suite or in the package, or the same in a table.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from dynamicid_jax.errors import InputError, WeightsError
from dynamicid_jax.evaluation.casts import Cast, MadeUp, Scene, photographed
from dynamicid_jax.evaluation.claims import Bound, Claim, Requirement
from dynamicid_jax.evaluation.common import METRICS, lines
from dynamicid_jax.evaluation.judges import JudgeSet, check_judges
from dynamicid_jax.evaluation.measures import MEASURES
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.series import ALONE, Pictures
from dynamicid_jax.evaluation.shots import Shot
from dynamicid_jax.models.configs import from_dict
from dynamicid_jax.world.motion import EXPRESSIONS, POSES
from dynamicid_jax.world.scene import BACKGROUNDS, SHIRTS

T = TypeVar("T")
FOLDER = Path(str(resources.files("dynamicid_jax.evaluation"))) / "suites"
SUITES = tuple(
    path.stem for path in sorted(FOLDER.glob("*.toml")) if not path.stem.startswith("judges_")
)
"""Names of the suites of the package."""


@dataclass(frozen=True)
class _Row:
    """A line of [rows]."""

    title: str
    least: tuple[float | None, ...] = ()
    most: tuple[float | None, ...] = ()
    clear: tuple[bool, ...] = (False, False, False)
    of_ceiling: bool = False
    better: str = ""
    chance: float | None = None

    def requirement(self) -> Requirement:
        asked: list[Bound | None] = [None, None, None]
        for row, clear in enumerate(self.clear):
            least, most = (some[row] if some else None for some in (self.least, self.most))
            if least is not None or most is not None:
                asked[row] = Bound(least, most, clear)
        return Requirement(self.title, tuple(asked), self.of_ceiling, self.better, self.chance)


@dataclass(frozen=True)
class _MadeUp:
    """[made_up]."""

    people: int
    prompts: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class _Photos:
    """[photos]."""

    people: int
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A suite as it was read.

    Attributes:
        name: of the file.
        about: in a sentence.
        made_up: of the world's people; None: the suite is not for them.
        photos: of photographed people; likewise.
        judges: by "made_up" and "photos".
        pictures: by kind.
        claims: by name.
        requirements: by the number's name.
        fingerprint: of its pictures and prompts; runs of another one do not compare.
    """

    name: str
    about: str
    made_up: _MadeUp | None
    photos: _Photos | None
    judges: dict[str, JudgeSet]
    pictures: dict[str, Pictures]
    claims: dict[str, Claim]
    requirements: dict[str, Requirement]
    fingerprint: str

    def cast(self, photos: Path | None) -> Cast:
        """Made-up people, or those of a folder of photos.

        Raises:
            InputError: the suite is not for them.
        """
        if photos is None:
            if self.made_up is None:
                raise InputError(f"suite {self.name}: is for photographs; pass --photos DIR")
            return MadeUp(self.made_up.prompts)
        if self.photos is None:
            raise InputError(
                f"suite {self.name}: has no [photos], it is for made-up people; leave --photos out, "
                f"or choose another suite ({', '.join(SUITES)})"
            )
        return photographed(photos, self.photos.prompts)

    def people(self, cast: Cast) -> int:
        """How many people the suite wants of a cast."""
        section = self.made_up if cast.name == "made_up" else self.photos
        assert section is not None
        return section.people

    def chosen(self, names: str | None) -> dict[str, Claim]:
        """The claims in a list of names parted by commas; all for None.

        Raises:
            InputError: an unknown name.
        """
        if names is None:
            return dict(self.claims)
        asked = [name.strip() for name in names.split(",") if name.strip()]
        unknown = [name for name in asked if name not in self.claims]
        if unknown or not asked:
            raise InputError(f"--claims {names!r}: expected some of {', '.join(self.claims)}")
        return {name: claim for name, claim in self.claims.items() if name in asked}

    def rows(self, claims: Mapping[str, Claim]) -> dict[str, Requirement]:
        """What is asked of the numbers of some claims, or only their titles; in the table's order."""
        given = dict(self.requirements)
        for claim in claims.values():
            given |= {name: row for name, row in lines(claim).items() if name not in given}
        return given

    def run_name(self, cast: Cast) -> str:
        """Says which pictures, and of whom, these are."""
        return f"{self.name} {self.fingerprint} {cast.fingerprint()}"

    def kinds(self, claims: Mapping[str, Claim]) -> list[str]:
        """What has to be drawn for some claims, each once."""
        names = [name for claim in claims.values() for name in (*claim.pictures, claim.over)]
        return [name for name in dict.fromkeys(names) if name]

    def shots(
        self, claims: Mapping[str, Claim], people: int, cast: Cast, can_edit: bool = True
    ) -> list[Shot]:
        """All pictures that some of the claims need for the first people."""
        makers = [self.pictures[kind].maker(kind, cast, can_edit) for kind in self.kinds(claims)]
        return [shot for maker in makers for number in range(people) for shot in maker(number)]


def read_suite(name: str) -> Suite:
    """A suite of the package by name, or a file.

    Raises:
        InputError: no such suite, or one that says something unknown or wrong.
    """
    path = FOLDER / f"{name}.toml" if name in SUITES else Path(name).expanduser()
    if path.suffix != ".toml":
        raise InputError(f"--suite {name!r}: expected one of {', '.join(SUITES)}, or a .toml file")
    values = _read(path)
    where = f"suite {path.name}"
    _known(values, ("about", "made_up", "photos", "pictures", "claims", "rows"), where)
    judges = {
        cast: _judges(values[cast].pop("judges", None), path, f"{where}: {cast}")
        for cast in ("made_up", "photos")
        if isinstance(values.get(cast), dict)
    }
    suite = Suite(
        name=path.stem,
        about=str(values.get("about", "")),
        made_up=_optional(_MadeUp, values, "made_up", where),
        photos=_optional(_Photos, values, "photos", where),
        judges=judges,
        pictures=_table(Pictures, values, "pictures", where),
        claims=_table(Claim, values, "claims", where),
        requirements={
            name: row.requirement() for name, row in _table(_Row, values, "rows", where).items()
        },
        fingerprint=_fingerprint(
            {key: values.get(key) for key in ("made_up", "photos", "pictures")}
        ),
    )
    _check(suite, where)
    return suite


def _check(suite: Suite, where: str) -> None:
    """What a file's parts say of each other.

    Raises:
        InputError: something that does not exist, or does not fit.
    """
    if not suite.judges:
        raise InputError(f"{where}: expected [made_up] or [photos], with people and judges")
    if not suite.pictures or not suite.claims:
        raise InputError(f"{where}: expected [pictures.KIND] and [claims.NAME]")
    for kind, one in suite.pictures.items():
        _check_pictures(suite, kind, one, f"{where}: pictures.{kind}")
    for name, claim in suite.claims.items():
        kinds = (*claim.pictures, *([claim.over] if claim.over else []))
        _among(kinds, suite.pictures, f"{where}: claims.{name}: pictures")
        _among(claim.measures, {**MEASURES, **METRICS}, f"{where}: claims.{name}: measures")


def _check_pictures(suite: Suite, kind: str, one: Pictures, where: str) -> None:
    if one.series:
        _among((one.series,), SERIES, f"{where}: series")
        return
    _among(one.expressions, EXPRESSIONS, f"{where}: expressions")
    _among(one.poses, POSES, f"{where}: poses")
    if one.like:
        _among((one.like,), suite.pictures, f"{where}: like")
    if not (1 <= one.people <= 3 and 1 <= one.asks <= 9 and one.seeds):
        raise InputError(f"{where}: expected people 1 to 3, asks 1 to 9, and seeds")
    if any(not 0 <= seed < 100 for seed in one.seeds):
        raise InputError(f"{where}: seeds: expected 0 to 99, got {list(one.seeds)}")
    if len(one.boxes) not in (0, one.people):
        raise InputError(f"{where}: boxes: expected {one.people} or none, got {len(one.boxes)}")
    if any(not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1) for x0, y0, x1, y1 in one.boxes):
        raise InputError(f"{where}: boxes: expected 0 <= x0 < x1 <= 1, and likewise y")
    if kind.endswith(ALONE):
        raise InputError(f"{where}: names that end with {ALONE} are for pictures drawn beside")
    for scene in suite.made_up.prompts if suite.made_up else ():
        _among(scene.shirts, SHIRTS, f"{where}: shirts")
        _among((scene.background,), BACKGROUNDS, f"{where}: background")
        if len(scene.shirts) < one.people:
            raise InputError(f"{where}: a prompt of [made_up] has {len(scene.shirts)} shirts only")
    for section in (suite.made_up, suite.photos):
        if section is not None and not section.prompts:
            raise InputError(f"{where}: needs prompts in [made_up] and [photos]")


def _among(names: Sequence[str], known: Any, where: str) -> None:
    if strange := [name for name in names if name not in known]:
        raise InputError(f"{where}: unknown {strange[0]!r}; expected some of {', '.join(known)}")


def _known(values: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    if strange := [key for key in values if key not in keys]:
        raise InputError(f"{where}: unknown key {strange[0]!r}; expected {', '.join(keys)}")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"), parse_float=_number)
    except OSError as error:
        raise InputError(f"suite {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"suite {path}: not TOML ({error})") from None


def _number(text: str) -> float | None:
    """TOML has no null: "nan" stands for it, and reaches nobody else."""
    value = float(text)
    return None if math.isnan(value) else value


def _build(cls: type[T], values: Any, where: str) -> T:
    needed = [one.name for one in fields(cls) if one.default is one.default_factory is MISSING]  # type: ignore[arg-type]
    if missing := [name for name in needed if isinstance(values, dict) and name not in values]:
        raise InputError(f"{where}: expected the key {missing[0]!r}, too")
    try:
        return from_dict(cls, values, where)
    except WeightsError as error:
        raise InputError(str(error)) from None


def _optional(cls: type[T], values: Mapping[str, Any], key: str, where: str) -> T | None:
    return _build(cls, values[key], f"{where}: {key}") if key in values else None


def _table(cls: type[T], values: Mapping[str, Any], key: str, where: str) -> dict[str, T]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise InputError(f"{where}: {key}: expected tables [{key}.NAME]")
    return {name: _build(cls, one, f"{where}: {key}.{name}") for name, one in table.items()}


def judges_named(name: str) -> JudgeSet:
    """The package's judges_NAME.toml: "made_up" or "photos"."""
    return _judges(name, FOLDER, name)


def _judges(named: Any, suite: Path, where: str) -> JudgeSet:
    """From a table, or from the file that a name stands for."""
    if isinstance(named, str):
        file = f"judges_{named}.toml"
        beside = suite.parent / file
        path = beside if beside.is_file() else FOLDER / file
        where, named = f"judges {path.name}", _read(path)
    if not isinstance(named, dict):
        raise InputError(f"{where}: judges: expected a name or a table")
    judges = _build(JudgeSet, named, where)
    check_judges(judges, where)
    return judges


def _fingerprint(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
