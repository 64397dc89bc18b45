"""What is there and what is missing: every gap is named with its option, where it is found and under which licence."""

import shutil
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.packaged import ASSETS
from dynamicid_jax.reproduction.check import (
    Inputs,
    can_edit,
    check,
    page,
    refuse_missing,
    rehearsal,
)

PACK = str(ASSETS / "mini" / "face_pack")


def missing(inputs: Inputs) -> dict[str, bool]:
    """What has a problem, and whether nothing can be run for it."""
    return {one.what: one.needed for one in check(inputs) if one.problem}


def photographs(root: Path, people: int, each: int) -> str:
    for person in range(people):
        folder = root / str(person)
        folder.mkdir(parents=True)
        for number in range(each):
            shutil.copy(ASSETS / "people" / "ada.png", folder / f"{number}.png")
    return str(root)


def test_the_packaged_model_has_all_of_it():
    inputs = Inputs("mini")
    assert not missing(inputs)
    assert "not the published checkpoint" in rehearsal(inputs)
    assert "made up" in rehearsal(inputs)


def test_the_published_layout_has_all_of_it(tiny_checkpoint):
    inputs = Inputs(str(tiny_checkpoint), face_pack=PACK)
    assert not missing(inputs)
    assert "not of SD1.5's size" in rehearsal(inputs)


def test_base_and_checkpoint_may_lie_apart(tiny_checkpoint, tmp_path):
    """Base in one folder, DynamicID's files in another; IMR may be missing, SAA may not."""
    for name in ("SAA.bin", "image_encoder"):
        (tmp_path / name).symlink_to(tiny_checkpoint / name)
    inputs = Inputs(str(tmp_path), base=str(tiny_checkpoint), face_pack=PACK)
    assert missing(inputs) == {"IMR.bin": False, "key_point_encoder.bin": False}
    (tmp_path / "SAA.bin").unlink()
    assert missing(inputs)["SAA.bin"]


def test_a_pack_that_cannot_be_used_is_missing(tiny_checkpoint, tmp_path):
    (tmp_path / "det.onnx").write_bytes(b"no network")
    inputs = Inputs(str(tiny_checkpoint), face_pack=str(tmp_path))
    assert missing(inputs) == {"face pack": True}


@pytest.mark.parametrize(("people", "each", "enough"), [(3, 2, True), (3, 1, False), (2, 5, False)])
def test_photographs_are_counted(tmp_path, people, each, enough):
    inputs = Inputs("mini", photos=photographs(tmp_path, people, each), judges=str(tmp_path))
    assert missing(inputs) == ({} if enough else {"photographs": True})
    assert "made up" not in rehearsal(inputs)


def test_real_faces_need_judges(tmp_path):
    assert missing(Inputs("mini", photos=photographs(tmp_path, 3, 2))) == {"judges": True}


def test_judges_may_lie_beside_the_pack(tmp_path):
    shutil.copytree(PACK, tmp_path / "real" / "pack")
    (tmp_path / "real" / "judges").mkdir()
    photos = photographs(tmp_path / "photos", 3, 2)
    inputs = Inputs("mini", face_pack=str(tmp_path / "real" / "pack"), photos=photos)
    assert not missing(inputs)
    assert inputs.judges_folder == tmp_path / "real"


def test_without_the_landmarks_of_training_nobody_is_edited(tiny_checkpoint, tmp_path):
    """A pack of detector and recogniser alone: single and multi are run, edit is not."""
    for name in ("detector.onnx", "recogniser.onnx"):
        shutil.copy(Path(PACK) / name, tmp_path / name)
    findings = check(Inputs(str(tiny_checkpoint), face_pack=str(tmp_path)))
    assert {one.what for one in findings if one.problem} == {"landmarks"}
    assert not can_edit(findings)
    assert can_edit(check(Inputs("mini")))


def test_the_command_says_where_everything_is_found(tmp_path, capsys):
    words = ["reproduce", "--checkpoint", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*words, "--photos", str(tmp_path / "nobody")]) == 2
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("error: ")]
    for option in (
        "--base",
        "--checkpoint",
        "--image_encoder",
        "--face_pack",
        "--photos",
        "--judges",
    ):
        assert option in line
    text = (tmp_path / "out" / "check.md").read_text()
    assert text.strip() in said.out
    for words_of_it in ("Open RAIL-M", "non-commercial", "licence-clean", "Apache-2.0", "MIT"):
        assert words_of_it in text
    assert main([*words, "--check"]) == 0


def test_nothing_missing_is_no_error():
    findings = check(Inputs("mini"))
    refuse_missing(findings)
    assert "Where to find" not in page(findings)
    with pytest.raises(MissingPartError, match="things are missing"):
        refuse_missing(check(Inputs("nowhere")))
