"""What is there and what is missing: every gap is named with its option, where it is found and under which licence."""

import shutil
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.evaluation.suite import FOLDER, judges_named
from dynamicid_jax.packaged import ASSETS
from dynamicid_jax.reproduction.check import check, rehearsal
from dynamicid_jax.reproduction.findings import can_edit, page, refuse_missing
from dynamicid_jax.reproduction.inputs import Inputs

PACK = str(ASSETS / "mini" / "face_pack")


def missing(inputs: Inputs) -> dict[str, bool]:
    """What has a problem, and whether nothing can be run for it."""
    return {one.what: one.need == "run" for one in check(inputs) if one.problem}


def photographs(root: Path, people: int, each: int) -> str:
    for person in range(people):
        folder = root / str(person)
        folder.mkdir(parents=True)
        for number in range(each):
            shutil.copy(ASSETS / "people" / "ada.png", folder / f"{number}.png")
    return str(root)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Suites that judge photographs by the packaged judges of made-up people; the folder of these."""
    root = tmp_path_factory.mktemp("suites")
    shutil.copy(FOLDER / "judges_made_up.toml", root / "judges_photos.toml")
    for name in ("single", "multi"):
        shutil.copy(FOLDER / f"{name}.toml", root / f"{name}.toml")
    return {
        "judges": PACK,
        "suites": (str(root / "single.toml"), str(root / "multi.toml")),
    }


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
def test_photographs_are_counted(tmp_path, judged, people, each, enough):
    inputs = Inputs("mini", photos=photographs(tmp_path, people, each), **judged)
    assert missing(inputs) == ({} if enough else {"photographs": True})
    assert "made up" not in rehearsal(inputs)


def test_photographs_are_read(tmp_path, judged):
    photos = photographs(tmp_path, 3, 2)
    (tmp_path / "1" / "0.png").write_bytes(b"no picture")
    (found,) = [one for one in check(Inputs("mini", photos=photos, **judged)) if one.problem]
    assert found.what == "photographs"
    assert "1 of 6 cannot be read" in found.problem


def test_one_person_is_enough_where_no_suite_shows_more(tmp_path, judged):
    single = {**judged, "suites": judged["suites"][:1]}
    assert not missing(Inputs("mini", photos=photographs(tmp_path, 1, 2), **single))


def test_every_judge_of_the_suites_is_looked_for(tmp_path):
    """All that is missing at once, each with its own place and licence; a file of another hash is as good as none."""
    names = {f"{name} judge {one.file}" for name, one in judges_named("photos").files().items()}
    photos = photographs(tmp_path / "photos", 3, 2)
    assert set(missing(Inputs("mini", photos=photos))) == names
    folder = tmp_path / "real"
    for one in judges_named("photos").files().values():
        (folder / one.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.file).write_bytes(b"another network")
    findings = check(Inputs("mini", photos=photos, judges=str(folder)))
    assert {one.what for one in findings if "expected" in one.problem} == names
    text = page(findings)
    for where in ("edgeface", "fsanet", "face_classification", "insightface"):
        assert where in text


def test_judges_of_another_contract_are_told(tmp_path, judged):
    """The files are there with their hashes, and the suite expects something else of a network."""
    root = tmp_path / "suites"
    shutil.copytree(Path(judged["suites"][0]).parent, root)
    judges = root / "judges_photos.toml"
    judges.write_text(judges.read_text().replace("outputs = 512", "outputs = 256"))
    photos = photographs(tmp_path / "photos", 3, 2)
    suites = (str(root / "single.toml"),)
    findings = check(Inputs("mini", photos=photos, judges=PACK, suites=suites))
    (found,) = [one for one in findings if one.problem]
    assert found.what == "judges"
    assert "expected float32" in found.problem


def test_judges_may_lie_beside_the_pack(tmp_path):
    shutil.copytree(PACK, tmp_path / "real" / "pack")
    (tmp_path / "real" / "judges").mkdir()
    photos = photographs(tmp_path / "photos", 3, 2)
    inputs = Inputs("mini", face_pack=str(tmp_path / "real" / "pack"), photos=photos)
    assert inputs.judges_folder == tmp_path / "real"


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("unet/*.safetensors", "base model: unet"),
        ("vae/config.json", "base model: vae"),
        ("text_encoder/*.safetensors", "base model: text_encoder"),
        ("tokenizer/*", "base model: tokenizer"),
        ("scheduler/*", "base model: scheduler"),
        ("image_encoder/config.json", "image encoder"),
    ],
)
def test_every_part_of_the_base_is_looked_at(tiny_checkpoint, tmp_path, gone, told):
    root = shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    for file in root.glob(gone):
        file.unlink()
    assert told in missing(Inputs(str(root), face_pack=PACK))


def test_a_cut_file_is_told(tiny_checkpoint, tmp_path):
    root = shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    (file,) = (root / "vae").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    assert missing(Inputs(str(root), face_pack=PACK)) == {"base model: vae": True}


def test_a_model_folder_without_a_network_is_told(tmp_path):
    root = shutil.copytree(ASSETS / "mini", tmp_path / "mini")
    (root / "vae.safetensors").unlink()
    (found,) = [one for one in check(Inputs(str(root))) if one.problem]
    assert "lacks vae.safetensors" in found.problem


def test_nobody_may_be_trained_on_and_evaluated(tmp_path, judged):
    photos = photographs(tmp_path / "photos", 3, 2)
    recipes = (str(Path(__file__).parents[2] / "configs" / "mini" / "anchoring.py"),)
    inputs = Inputs("mini", photos=photos, train=photos, recipes=recipes, **judged)
    (found,) = [one for one in check(inputs) if one.problem]
    assert (found.what, found.need) == ("training data", "training")
    assert "3 people are in --photos, too" in found.problem
    refuse_missing([found])  # nothing is trained yet: only the cost is told
    with pytest.raises(MissingPartError, match="training data"):
        refuse_missing([found], training=True)


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
    with pytest.raises(MissingPartError, match="things are missing or unusable"):
        refuse_missing(check(Inputs("nowhere")))
