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
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.casts import Cast, MadeUp, photographed
from dynamicid_jax.evaluation.claims import Claim, Requirement
from dynamicid_jax.evaluation.common import METRICS, lines
from dynamicid_jax.evaluation.judge_files import JudgeSet, check_judges
from dynamicid_jax.evaluation.measures import MEASURES
from dynamicid_jax.evaluation.series import Pictures
from dynamicid_jax.evaluation.shots import Shot
from dynamicid_jax.evaluation.suite_checks import check_claims, check_kinds, check_people
from dynamicid_jax.evaluation.suite_file import (
    MadeUpSection,
    PhotosSection,
    Row,
    among,
    build,
    check_name,
    known,
    optional,
    read_toml,
    table,
)

FOLDER = Path(str(resources.files("dynamicid_jax.evaluation"))) / "suites"
SUITES = tuple(
    path.stem for path in sorted(FOLDER.glob("*.toml")) if not path.stem.startswith("judges_")
)
"""Names of the suites of the package."""


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
    made_up: MadeUpSection | None
    photos: PhotosSection | None
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

    def numbers(self, claims: Mapping[str, Claim]) -> list[str]:
        """The numbers that some claims may give; empty where coded measures name theirs themselves."""
        if any(one in MEASURES for claim in claims.values() for one in claim.measures):
            return []
        return [name for claim in claims.values() for name in lines(claim)]

    def shots(
        self, claims: Mapping[str, Claim], who: range, cast: Cast, can_edit: bool = True
    ) -> list[Shot]:
        """All pictures that some of the claims need of these people."""
        shots: list[Shot] = []
        for kind in self.kinds(claims):
            pictures = self.pictures[kind]
            maker = pictures.maker(kind, cast, can_edit)
            shots += [shot for number in pictures.of(who) for shot in maker(number)]
        return shots


def read_suite(name: str) -> Suite:
    """A suite of the package by name, or a file.

    Raises:
        InputError: no such suite, or one that says something unknown or wrong.
    """
    try:
        path = FOLDER / f"{name}.toml" if name in SUITES else Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"--suite {name!r}: {error}") from None
    if path.suffix != ".toml":
        raise InputError(f"--suite {name!r}: expected one of {', '.join(SUITES)}, or a .toml file")
    values = read_toml(path)
    where = f"suite {path.name}"
    known(values, ("about", "made_up", "photos", "pictures", "claims", "rows"), where)
    if not isinstance(values.get("about", ""), str):
        raise InputError(f"{where}: about: expected a sentence, got {values['about']!r:.80}")
    judges = {
        cast: _judges(values[cast].pop("judges", None), path, f"{where}: {cast}")
        for cast in ("made_up", "photos")
        if isinstance(values.get(cast), dict)
    }
    made_up = optional(MadeUpSection, values, "made_up", where)
    photos = optional(PhotosSection, values, "photos", where)
    check_people(made_up, photos, where)
    pictures = table(Pictures, values, "pictures", where)
    check_kinds(pictures, made_up, photos, where)
    claims = table(Claim, values, "claims", where)
    check_claims(claims, pictures, where)
    return Suite(
        name=path.stem,
        about=values.get("about", ""),
        made_up=made_up,
        photos=photos,
        judges=judges,
        pictures=pictures,
        claims=claims,
        requirements=_requirements(values, claims, where),
        fingerprint=_fingerprint(
            {key: values.get(key) for key in ("made_up", "photos", "pictures")}
        ),
    )


def _requirements(
    values: Mapping[str, Any], claims: Mapping[str, Claim], where: str
) -> dict[str, Requirement]:
    """The lines of [rows].

    Raises:
        InputError: a wrong one, or one of a number that no claim gives. Coded measures name theirs themselves.
    """
    rows = table(Row, values, "rows", where)
    if all(one in METRICS for claim in claims.values() for one in claim.measures):
        among(rows, [name for claim in claims.values() for name in lines(claim)], f"{where}: rows")
    return {name: row.requirement(f"{where}: rows.{name}") for name, row in rows.items()}


def judges_named(name: str) -> JudgeSet:
    """The package's judges_NAME.toml: "made_up" or "photos"."""
    return _judges(name, FOLDER, name)


def _judges(named: Any, suite: Path, where: str) -> JudgeSet:
    """From a table, or from the file that a name stands for."""
    if isinstance(named, str):
        check_name(named, f"{where}: judges")
        file = f"judges_{named}.toml"
        beside = suite.parent / file
        path = beside if beside.is_file() else FOLDER / file
        where, named = f"judges {path.name}", read_toml(path)
    if not isinstance(named, dict):
        raise InputError(f"{where}: judges: expected a name or a table")
    judges = build(JudgeSet, named, where)
    check_judges(judges, where)
    return judges


def _fingerprint(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
