"""Suites as files: what is read, what is refused, and which pictures follow."""

from collections import Counter
from itertools import product

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.casts import MadeUp, Photographed
from dynamicid_jax.evaluation.contents import Content
from dynamicid_jax.evaluation.photographs import PhotoFile, Wish
from dynamicid_jax.evaluation.series import ALONE, Pictures
from dynamicid_jax.evaluation.suite import FOLDER, SUITES, read_suite
from dynamicid_jax.world.motion import EXPRESSIONS, POSES

PHOTOS = Photographed(
    {f"p{i}": (f"{i}/a.png", f"{i}/b.png") for i in range(6)},
    ("{people} at a market", "by {people}"),
)


def changed(tmp_path, *changes, of="single"):
    """A suite's file with some of its text replaced."""
    text = (FOLDER / f"{of}.toml").read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "own.toml"
    path.write_text(text)
    return str(path)


def test_the_packages_suites_can_be_read():
    assert set(SUITES) == {"mini", "single", "multi", "edit"}
    mini = read_suite("mini")
    assert mini.people(mini.cast(None)) >= 100
    assert mini.photos is None
    for name in ("single", "multi", "edit"):
        suite = read_suite(name)
        assert suite.judges.keys() == {"made_up", "photos"}
        assert suite.rows(suite.claims)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("about =", "abuot =", "unknown key 'abuot'; expected about, made_up"),
        ("asks = 2", "asks = 2\nbatch = 3", "pictures.single: unknown key 'batch'"),
        ("asks = 2", 'asks = "2"', "pictures.single: asks: expected <class 'int'>"),
        ('"clip_t",', '"clip_x",', "claims.single: measures: unknown 'clip_x'"),
        ('pictures = ["single"]', 'pictures = ["double"]', "pictures: unknown 'double'"),
        ('"happy"', '"smug"', "expressions: unknown 'smug'; expected some of happy"),
        ('"the sea"', '"the moon"', "background: unknown 'the moon'"),
        ("asks = 2", "asks = 2\npeople = 2", "a prompt of \\[made_up\\] has 1 shirts only"),
        ("asks = 2", "asks = 2\nboxes = [[0.5, 0, 0.2, 1]]", "boxes: expected 0 <= x0 < x1"),
        ('judges = "made_up"', 'judges = "nobody"', "judges_nobody.toml: cannot be read"),
        ('judges = "made_up"', "judges = 3", "judges: expected a name or a table"),
        ("people = 20\n", "", "made_up: expected the key 'people', too"),
        ("about =", "about ==", "not TOML"),
    ],
)
def test_what_a_suite_says_wrong_is_named(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        read_suite(changed(tmp_path, (old, new)))


def test_no_such_suite_names_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"expected one of edit, mini, multi, single, or a \.toml"):
        read_suite("maxi")
    with pytest.raises(InputError, match="cannot be read"):
        read_suite(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match=r"has no \[photos\], it is for made-up people"):
        read_suite("mini").cast(tmp_path)


def test_the_fingerprint_is_of_the_pictures(tmp_path):
    plain = read_suite("single").fingerprint
    assert read_suite(changed(tmp_path)).fingerprint == plain
    rows = '[rows.single_face_sim]\ntitle = "alike"\nleast = [nan, 0.5, 0.7]\n[claims.single]'
    other = read_suite(changed(tmp_path, ("[claims.single]", rows)))
    assert other.fingerprint == plain
    assert [bound and bound.least for bound in other.requirements["single_face_sim"].bounds] == [
        None,
        0.5,
        0.7,
    ]
    assert read_suite(changed(tmp_path, ('"the sea"', '"a sunset"'))).fingerprint != plain


def test_pictures_with_and_without_people_share_words_and_noise():
    suite = read_suite("multi")
    for cast in (suite.cast(None), PHOTOS):
        shots = suite.shots(suite.claims, 4, cast)
        assert len({shot.name for shot in shots}) == len(shots) == 4 * 5
        by_name = {shot.name: shot for shot in shots}
        for shot in shots:
            if shot.kind.endswith(ALONE):
                twin = by_name[shot.name.replace(ALONE, "")]
                assert not shot.subjects
                assert (shot.seed, shot.shows) == (twin.seed, twin.shows)
            if shot.kind == "two_free":
                twin = by_name[shot.name.replace("two_free", "two")]
                assert (shot.seed, shot.shows) == (twin.seed, twin.shows)
                assert [one.photos for one in shot.subjects] == [
                    one.photos for one in twin.subjects
                ]
                assert shot.subjects[0].box == (0.0, 0.0, 1.0, 1.0)


def test_asked_motions_go_through_the_whole_grid():
    suite = read_suite("edit")
    shots = [
        shot for shot in suite.shots(suite.claims, 35, suite.cast(None)) if shot.kind == "edited"
    ]
    cells = Counter((shot.shows.expressions[0], shot.shows.poses[0]) for shot in shots)
    assert cells == dict.fromkeys(product(range(len(EXPRESSIONS)), range(len(POSES))), 4)
    assert all(shot.subjects[0].is_edited for shot in shots)
    assert shots[0].subjects[0].face == "happy, level, full left view"


def test_who_cannot_edit_gets_the_reference_as_it_is():
    suite = read_suite("single")
    plain = suite.shots(suite.claims, 2, suite.cast(None), can_edit=False)
    assert not any(one.is_edited for shot in plain for one in shot.subjects)
    edits = suite.shots(suite.claims, 2, suite.cast(None), can_edit=True)
    assert [shot.shows for shot in plain] == [shot.shows for shot in edits]
    assert read_suite("edit").pictures["edited"].needs_edits
    assert not suite.pictures["single"].needs_edits


def test_made_up_people_stand_in_the_prompts_scene():
    suite = read_suite("multi")
    (shot, *_) = suite.shots({"two": suite.claims["two"]}, 1, suite.cast(None))
    assert isinstance(shot.shows, Content)
    assert (shot.shows.shirts, shot.shows.background) == ((0, 1), 7)  # red, blue; the sea


def test_photographed_people_are_asked_for_in_words():
    said = Pictures(people=2, motion="prompt").maker("said", PHOTOS, True)(1)[0]
    assert isinstance(said.shows, Wish)
    assert said.shows.prompt == (
        "by two people, on the left in a surprise expression, in half left view, "
        "on the right in a disgust expression, in full right view"
    )
    assert said.shows.people == (1, 4)
    assert said.subjects[1].photos == ((PhotoFile("4/a.png"), 1.0),)
    assert said.shows.targets == (PhotoFile("1/b.png"), PhotoFile("4/b.png"))
    plain = Pictures().maker("plain", PHOTOS, True)(0)[0]
    assert plain.shows.expressions == plain.shows.poses == (None,)
    with pytest.raises(InputError, match="a picture of 3 needs as many folders"):
        Photographed({"a": ("x",), "b": ("y",)}, ("",)).together(0, 3)


def test_what_is_not_asked_stays_the_photos():
    cast = MadeUp(read_suite("single").cast(None).prompts)
    plain = Pictures().maker("plain", cast, True)(0)[0]
    photo = plain.subjects[0].photos[0][0]
    assert (plain.shows.expressions, plain.shows.poses) == (photo.expressions, photo.poses)
    assert not plain.subjects[0].is_edited
