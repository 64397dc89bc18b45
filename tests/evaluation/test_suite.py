"""Suites as files: what is read, what is refused, and which pictures follow."""

from collections import Counter
from itertools import product

import pytest

from dynamicid_jax.cli.main import main
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
        ("asks = 2", 'asks = "2"', "pictures.single: asks: expected a whole number"),
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
        ("about =", "about = 3 #", "about: expected a sentence, got 3"),
        ("people = 20\n", "people = 0\n", "made_up: people: expected 1 to 100000, got 0"),
        ("people = 20\n", f"people = {10**30}\n", "people: expected 1 to 100000"),
        (
            "[pictures.single]",
            '[pictures."../p"]',
            "pictures: name '../p': expected at most 64 letters",
        ),
        ("[claims.single]", '[claims."a,b"]', "claims: name 'a,b': expected at most 64"),
        ('judges = "made_up"', 'judges = "../x"', "judges: name '../x': expected at most 64"),
        (
            'pictures = ["single"]',
            "pictures = []",
            "claims.single: pictures: expected at least one of single",
        ),
        ('pictures = ["single"]', "pictures = []", "pictures: expected at least one of single"),
        ("asks = 2", "asks = 2\nlayout_strength = -1", "layout_strength: expected 0 to 100"),
        ("asks = 2", "asks = 2\nat_most = -1", "at_most: expected 0 .everybody. to 100000, got -1"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "seeds: expected 0 to 99, each once"),
        (
            "[pictures.single]",
            '[pictures.one]\nseries = "one"\n[pictures.single]',
            "leave \\[photos\\] out",
        ),
    ],
)
def test_what_a_suite_says_wrong_is_named(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        read_suite(changed(tmp_path, (old, new)))


def test_some_pictures_are_of_the_first_people_only(tmp_path):
    suite = read_suite(changed(tmp_path, ("asks = 2", "asks = 2\nat_most = 3")))
    cast = suite.cast(None)

    def people(count):
        return {shot.number for shot in suite.shots(suite.claims, range(count), cast)}

    assert people(2) == {0, 1}
    assert people(5) == {0, 1, 2}


def test_people_who_are_skipped_change_nobody_after_them(tmp_path):
    suite = read_suite(changed(tmp_path, ("asks = 2", "asks = 2\nat_most = 3")))
    cast = suite.cast(None)
    everybody = read_suite("single").shots(suite.claims, range(60), cast)
    later = suite.shots(suite.claims, range(49, 59), cast)
    assert {shot.number for shot in later} == {49, 50, 51}
    assert later == [shot for shot in everybody if shot.number in (49, 50, 51)]


def test_the_mini_suite_edits_fewer_people_than_it_knows():
    suite = read_suite("mini")
    cast = suite.cast(None)
    shots = suite.shots(suite.claims, range(suite.people(cast)), cast)
    people = {
        kind: {shot.number for shot in shots if shot.kind == kind}
        for kind in ("one", "two", "free", "imr_pose")
    }
    assert people["one"] == people["two"] == people["free"] > people["imr_pose"]
    assert len(people["imr_pose"]) >= 100


ROW = '[rows.single_face_sim]\ntitle = "alike"\n'


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("least = [0.5]", "rows.single_face_sim: least: expected 3 numbers .*nan asks for nothing"),
        ("most = [0.5, 1.0]", "most: expected 3 numbers"),
        ("least = [0.5, 0.6, 0.7]\nclear = [true]", "clear: expected 3 of true and false"),
        ('better = "up"', "better: expected .*'higher', 'lower'.*got 'up'"),
        ("worse = true", "unknown key 'worse'; expected title, least, most, clear, of_ceiling"),
        (
            '[rows.single_sim]\ntitle = ""',
            "rows: unknown 'single_sim'; expected some of single_clip_t",
        ),
    ],
)
def test_a_row_that_asks_wrongly_is_named(tmp_path, row, message):
    with pytest.raises(InputError, match=message):
        read_suite(changed(tmp_path, ("[claims.single]", f"{ROW}{row}\n[claims.single]")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'measures = ["base"]',
            "measures = []",
            "claims.base: measures: expected at least one of base",
        ),
        ('pictures = ["one", "context"]', 'pictures = ["one"]', "with series = 'context', too"),
        ('measures = ["imr"]', 'measures = ["expr"]', "pictures.imr are imr_plain, imr_expression"),
        ('measures = ["edits"]', 'measures = ["edits"]\nover = "one"', "is not taken over other"),
        ('series = "mix"', 'series = "one"', "draws pictures 'one', as pictures.one does"),
        ('series = "mix"', 'series = "mix"\nasks = 2', "series 'mix' says everything"),
        ('series = "mix"', 'series = "max"', "series: unknown 'max'; expected some of base"),
    ],
)
def test_coded_series_and_measures_belong_together(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        read_suite(changed(tmp_path, (old, new), of="mini"))


def test_a_level_can_be_left_out_of_a_row(tmp_path):
    row = f"{ROW}most = [nan, 0.5, 0.2]\nclear = [false, true, false]\n[claims.single]"
    suite = read_suite(changed(tmp_path, ("[claims.single]", row)))
    bounds = suite.requirements["single_face_sim"].bounds
    assert [bound and (bound.most, bound.clear) for bound in bounds] == [
        None,
        (0.5, True),
        (0.2, False),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b'about = "\xff"',
        b"pictures = [1]",
        b"made_up = [{}]",
        b"rows = 3",
        b"about = " + b"[" * 3000 + b"]" * 3000,
        b"[made_up]\npeople = " + b"9" * 5000,
        b"[made_up]\npeople = 2\njudges = {}",
        b'[made_up]\npeople = 2\njudges = "a\\u0000"',
        b'[made_up]\npeople = 2\njudges = "mini"\nprompts = [{ a = 1979-05-27 }]',
    ],
)
def test_a_broken_file_is_one_line(tmp_path, capsys, broken):
    (tmp_path / "bad.toml").write_bytes(broken)
    options = ["--suite", str(tmp_path / "bad.toml"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--model", "mini", *options]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: suite ") or said[0].startswith("error: judges ")


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
        shots = suite.shots(suite.claims, range(4), cast)
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
        shot
        for shot in suite.shots(suite.claims, range(35), suite.cast(None))
        if shot.kind == "edited"
    ]
    cells = Counter((shot.shows.expressions[0], shot.shows.poses[0]) for shot in shots)
    assert cells == dict.fromkeys(product(range(len(EXPRESSIONS)), range(len(POSES))), 4)
    assert all(shot.subjects[0].is_edited for shot in shots)
    assert shots[0].subjects[0].face == "happy, level, full left view"


def test_who_cannot_edit_gets_the_reference_as_it_is():
    suite = read_suite("single")
    plain = suite.shots(suite.claims, range(2), suite.cast(None), can_edit=False)
    assert not any(one.is_edited for shot in plain for one in shot.subjects)
    edits = suite.shots(suite.claims, range(2), suite.cast(None), can_edit=True)
    assert [shot.shows for shot in plain] == [shot.shows for shot in edits]
    assert read_suite("edit").pictures["edited"].needs_edits
    assert not suite.pictures["single"].needs_edits


def test_made_up_people_stand_in_the_prompts_scene():
    suite = read_suite("multi")
    (shot, *_) = suite.shots({"two": suite.claims["two"]}, range(1), suite.cast(None))
    assert isinstance(shot.shows, Content)
    assert (shot.shows.shirts, shot.shows.background) == ((0, 1), 7)  # red, blue; the sea


def test_an_edit_that_the_prompt_says_too_is_the_edit_under_that_prompt():
    """One photo, motion and noise in all three, so that they differ in what they are named for alone."""
    suite = read_suite("edit")
    names = ("edited", "said", "both")
    edited, said, both = (
        suite.pictures[name].maker(name, suite.cast(None), True)(3) for name in names
    )
    assert [one.subjects for one in both] == [one.subjects for one in edited]
    assert all(one.subjects[0].is_edited for one in both)
    assert [one.shows for one in both] == [one.shows for one in said]
    assert [one.seed for one in both] == [one.seed for one in said] == [one.seed for one in edited]
    assert all(one.says_motion for one in both)
    assert suite.pictures["both"].needs_edits


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
