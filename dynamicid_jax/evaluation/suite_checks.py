"""What a suite's parts say of each other: kinds that exist, measures that can be taken, numbers in range."""

from collections.abc import Mapping

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.claims import Claim
from dynamicid_jax.evaluation.common import METRICS
from dynamicid_jax.evaluation.measures import MEASURES, NEEDED
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.series import ALONE, Pictures
from dynamicid_jax.evaluation.suite_file import MadeUpSection, PhotosSection, among
from dynamicid_jax.world.motion import EXPRESSIONS, POSES
from dynamicid_jax.world.scene import BACKGROUNDS, SHIRTS

MOST_PEOPLE = 100_000  # the noise of person n has the seed 1000 n, and seeds end at 2^32
MOST_STRENGTH = 100.0  # of layout; 2 is usual


def check_people(made_up: MadeUpSection | None, photos: PhotosSection | None, where: str) -> None:
    """Raises `InputError` where there is nobody, or too many."""
    if made_up is None and photos is None:
        raise InputError(f"{where}: expected [made_up] or [photos], with people and judges")
    for name, section in (("made_up", made_up), ("photos", photos)):
        if section is not None and not 1 <= section.people <= MOST_PEOPLE:
            raise InputError(
                f"{where}: {name}: people: expected 1 to {MOST_PEOPLE}, got {section.people}"
            )


def check_kinds(
    pictures: Mapping[str, Pictures],
    made_up: MadeUpSection | None,
    photos: PhotosSection | None,
    where: str,
) -> None:
    """Raises `InputError` where a kind of pictures cannot be drawn, or two would be one."""
    if not pictures:
        raise InputError(f"{where}: expected [pictures.KIND]")
    taken: dict[str, str] = {}
    for kind, one in pictures.items():
        here = f"{where}: pictures.{kind}"
        if not 0 <= one.at_most <= MOST_PEOPLE:
            raise InputError(
                f"{here}: at_most: expected 0 (everybody) to {MOST_PEOPLE}, got {one.at_most}"
            )
        if one.series:
            _check_series(one, photos, here)
        else:
            _check_plan(kind, one, pictures, here)
            _check_prompts(one, made_up, photos, here)
        for drawn in kinds_of(kind, one):
            if drawn in taken:
                raise InputError(
                    f"{here}: draws pictures {drawn!r}, as pictures.{taken[drawn]} does; take another name or series"
                )
            taken[drawn] = kind


def kinds_of(kind: str, one: Pictures) -> list[str]:
    """The kinds that the shots of [pictures.KIND] have: a coded series has its own."""
    return (
        list(dict.fromkeys(shot.kind for shot in SERIES[one.series](0))) if one.series else [kind]
    )


def _check_series(one: Pictures, photos: PhotosSection | None, where: str) -> None:
    among((one.series,), SERIES, f"{where}: series")
    if one != Pictures(series=one.series, at_most=one.at_most):
        raise InputError(
            f"{where}: series {one.series!r} says everything but at_most; leave the other keys out"
        )
    if photos is not None:
        raise InputError(
            f"{where}: series {one.series!r} is of made-up people; leave [photos] out of this suite"
        )


def _check_plan(kind: str, one: Pictures, pictures: Mapping[str, Pictures], where: str) -> None:
    among(one.expressions, EXPRESSIONS, f"{where}: expressions")
    among(one.poses, POSES, f"{where}: poses")
    if one.like:
        among((one.like,), pictures, f"{where}: like")
    if not (1 <= one.people <= 3 and 1 <= one.asks <= 9 and one.seeds):
        raise InputError(f"{where}: expected people 1 to 3, asks 1 to 9, and seeds")
    if any(not 0 <= seed < 100 for seed in one.seeds) or len(set(one.seeds)) < len(one.seeds):
        raise InputError(
            f"{where}: seeds: expected 0 to 99, each once, got {list(one.seeds)!s:.80}"
        )
    if len(one.boxes) not in (0, one.people):
        raise InputError(f"{where}: boxes: expected {one.people} or none, got {len(one.boxes)}")
    if any(not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1) for x0, y0, x1, y1 in one.boxes):
        raise InputError(f"{where}: boxes: expected 0 <= x0 < x1 <= 1, and likewise y")
    if one.layout_strength is not None and not 0 <= one.layout_strength <= MOST_STRENGTH:
        raise InputError(
            f"{where}: layout_strength: expected 0 to {MOST_STRENGTH:g}, got {one.layout_strength:g}"
        )
    if kind.endswith(ALONE):
        raise InputError(f"{where}: names that end with {ALONE} are for pictures drawn beside")


def _check_prompts(
    one: Pictures, made_up: MadeUpSection | None, photos: PhotosSection | None, where: str
) -> None:
    for scene in made_up.prompts if made_up else ():
        among(scene.shirts, SHIRTS, f"{where}: shirts")
        among((scene.background,), BACKGROUNDS, f"{where}: background")
        if len(scene.shirts) < one.people:
            raise InputError(f"{where}: a prompt of [made_up] has {len(scene.shirts)} shirts only")
    for section in (made_up, photos):
        if section is not None and not section.prompts:
            raise InputError(f"{where}: needs prompts in [made_up] and [photos]")


def check_claims(claims: Mapping[str, Claim], pictures: Mapping[str, Pictures], where: str) -> None:
    """Raises `InputError` where a claim measures nothing, or something that its pictures do not show."""
    if not claims:
        raise InputError(f"{where}: expected [claims.NAME]")
    for name, claim in claims.items():
        _check_claim(claim, pictures, f"{where}: claims.{name}")


def _check_claim(claim: Claim, pictures: Mapping[str, Pictures], where: str) -> None:
    for key, some, expected in (
        ("pictures", claim.pictures, list(pictures)),
        ("measures", claim.measures, [*MEASURES, *METRICS]),
    ):
        if not some:
            raise InputError(
                f"{where}: {key}: expected at least one of {', '.join(expected)}, got none"
            )
        among(some, expected, f"{where}: {key}")
    if claim.over:
        among((claim.over,), pictures, f"{where}: over")
    own = {pictures[kind].series for kind in claim.pictures}
    for measure in (one for one in claim.measures if one in MEASURES):
        if lacking := [series for series in NEEDED[measure] if series not in own]:
            raise InputError(
                f"{where}: measure {measure!r} is of series {', '.join(NEEDED[measure])}; expected pictures with "
                f"series = {lacking[0]!r}, too"
            )
        if claim.over:
            raise InputError(f"{where}: over: measure {measure!r} is not taken over other pictures")
    if all(one in MEASURES for one in claim.measures):
        return
    for kind in (*claim.pictures, *([claim.over] if claim.over else [])):
        if kind not in (drawn := kinds_of(kind, pictures[kind])):
            raise InputError(
                f"{where}: pictures.{kind} are {', '.join(drawn)}, of which only the measures "
                f"{', '.join(MEASURES)} can be taken"
            )
