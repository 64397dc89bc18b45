"""What text files and file names say."""

import json

import numpy as np
import pytest
from PIL import Image

from dynamicid_jax.data.prepare import layouts
from dynamicid_jax.data.prepare.look import inside
from dynamicid_jax.data.prepare.scan import natural
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.prepare.words import describe, understand
from dynamicid_jax.errors import InputError
from dynamicid_jax.faces.pose import Pose
from dynamicid_jax.faces.prompts import EXPRESSIONS, parse_face_words

TURNED = Pose(-30.0, 14.0, 0.0, "network")


@pytest.mark.parametrize(
    ("text", "caption", "expression", "view"),
    [
        ("", "", None, None),
        ("happy, side view", "", "happy", "side"),
        ("in a sad expression, facing up, in front view", "", "sad", "front"),
        ("Alice at the lake", "Alice at the lake", None, None),
        ("Alice at the lake\nface: half left", "Alice at the lake", None, "half left"),
        ("a man, in a fear expression, in side view, oil", None, "fear", "side"),
        ("a man, in a strange expression, in side view", None, None, None),
    ],
)
def test_a_text_is_a_caption_or_words_or_both(text, caption, expression, view):
    said = understand(text, "a.txt")
    assert said.caption == (text if caption is None else caption)
    assert (said.words.expression, said.words.view) == (expression, view)


def test_a_face_line_must_be_understood():
    with pytest.raises(InputError, match=r"s1/a.jpg: face words.*unknown word 'grinning'"):
        understand("at home\nface: grinning", "s1/a.jpg")


def test_where_the_expression_comes_from():
    said = understand("surprised, in front view", "a")
    judged = describe(said, TURNED, "anger", -1)
    assert (judged.prompt, judged.source) == (
        "in a anger expression, facing up, in front view",
        "judge",
    )
    assert describe(said, TURNED, None, -1).expression == "surprise"
    plain = describe(understand("", "a"), TURNED, None, -1)
    assert (plain.expression, plain.source) == ("", "none")
    assert plain.prompt == "in a neutral expression, facing up, in side view"


def test_studio_names_and_prompts_agree_for_all_35_cells():
    seen = set()
    for expression in EXPRESSIONS:
        for pose in layouts.POSES:
            cell = layouts.cell_of(f"{expression.upper()}_{pose}")
            seen.add(cell)
            described = describe(understand("", "a"), TURNED, "fear", cell)
            words = parse_face_words(described.prompt)
            assert (words.expression, described.source) == (expression, "grid")
            assert words.view == pose.replace("_", " ")
    assert seen == set(range(35))
    assert layouts.cell_of("happy") == layouts.cell_of("happy_front_2") == -1


def picture(path, size=(20, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def scan(root, **more):
    return layouts.scan(Settings(photos=str(root), out="unused", **more))


def test_layouts_are_told_apart(tmp_path):
    picture(tmp_path / "photos/a/happy_front.png")
    picture(tmp_path / "photos/a/b.png")
    picture(tmp_path / "studio/a/happy_front.png")
    picture(tmp_path / "variface/a/0.png")
    picture(tmp_path / "variface/a/0_landmark.png")
    picture(tmp_path / "captions/x.jpg")
    (tmp_path / "captions/x.txt").write_text("a dog")
    (tmp_path / "list.json").write_text('[{"picture": "captions/x.jpg", "caption": "a cat"}]')
    assert [scan(tmp_path / name).layout for name in ("photos", "studio", "variface")] == [
        "photos",
        "studio",
        "variface",
    ]
    (photo,) = scan(tmp_path / "variface").photos
    assert (photo.key, photo.raster.endswith("0_landmark.png")) == ("a/0", True)
    assert [scan(tmp_path / name).photos[0].text for name in ("captions", "list.json")] == [
        "a dog",
        "a cat",
    ]


def test_what_is_found_is_ordered_and_what_is_not_is_named(tmp_path):
    for name in ("s10/1.jpg", "s2/10.jpg", "s2/9.jpg", "s2/9.png", "s2/old/8.jpg", ".cache/1.jpg"):
        picture(tmp_path / name)
    (tmp_path / "s2/notes.doc").write_text("")
    (tmp_path / "s2/9.txt").write_text("happy")
    picture(tmp_path / "stray.jpg")
    found = scan(tmp_path)
    keys = [photo.key for photo in found.photos]
    assert keys == ["s2/9.jpg", "s2/9.png", "s2/10", "s10/1"]  # two of one name keep their endings
    assert sorted(found.ignored) == ["s2/notes.doc", "s2/old/", "stray.jpg"]
    assert sorted(["s10", "s2", "a1", "10"], key=natural) == ["10", "a1", "s2", "s10"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"licens": "x"}', "unknown key 'licens'; did you mean 'licence'"),
        ('{"consent": 3}', "consent must be a text"),
    ],
)
def test_bad_person_files_are_one_line(tmp_path, content, message):
    picture(tmp_path / "a/1.jpg")
    (tmp_path / "a/person.json").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        scan(tmp_path)
    assert "a/person.json" in str(error.value)


def test_terms_come_from_the_person_then_from_the_defaults(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / name / "1.jpg")
    (tmp_path / "a/person.json").write_text('{"license": "CC0", "consent": false}')
    (tmp_path / "b/person.json").write_text('{"consent": "signed"}')
    found = scan(tmp_path, licence="CC BY", consent="asked")
    terms = [layouts.terms_of(found, photo) for photo in found.photos]
    assert [(one.licence, one.consent, one.refused) for one in terms] == [
        ("CC0", "no", True),
        ("CC BY", "signed", False),
        ("CC BY", "asked", False),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"picture": "1.jpg"}, "expected a list"),
        ([{"file": "1.jpg"}], "entry 0: expected entries"),
        ([{"picture": "2.jpg"}], "no such picture"),
        ([{"picture": "1.jpg", "captoin": "x"}], "unknown key 'captoin'"),
        ([{"picture": "1.jpg"}, {"picture": "./1.jpg"}], "1.jpg is listed twice"),
    ],
)
def test_bad_lists_are_one_line(tmp_path, value, message):
    picture(tmp_path / "1.jpg")
    (tmp_path / "list.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=message):
        scan(tmp_path / "list.json")


def test_a_name_outside_the_grid_is_one_line(tmp_path):
    picture(tmp_path / "a/happy_left.jpg")
    with pytest.raises(
        InputError, match=r"a/happy_left.jpg: not a name of the studio grid.*half_left"
    ):
        scan(tmp_path, layout="studio")


def test_a_square_is_moved_inside_and_never_cuts_the_face():
    random = np.random.default_rng(0)
    for _ in range(300):
        width, height = random.integers(20, 200, 2)
        low = random.uniform(-5, 0.8 * np.array([width, height]))
        box = np.concatenate([low, low + random.uniform(5, 60, 2)]).astype(np.float32)
        side = int(2 * (box[2:] - box[:2]).max())
        middle = ((box[:2] + box[2:]) / 2).round().astype(int)
        square = (*(middle - side // 2).tolist(), *(middle + side - side // 2).tolist())
        x0, y0, x1, y1 = inside(square, box, int(width), int(height))
        assert x1 - x0 == y1 - y0 <= side + 1
        longer = (box[2:] - box[:2]).max()
        if x1 - x0 <= min(width, height):
            assert x0 >= 0 <= y0
            assert x1 <= width
            assert y1 <= height
            clipped = box.clip(0, np.tile([width, height], 2))
            assert x1 - x0 >= longer
            if (clipped == box).all():
                assert x0 <= box[0] + 1
                assert x1 >= box[2] - 1
                assert y0 <= box[1] + 1
                assert y1 >= box[3] - 1
