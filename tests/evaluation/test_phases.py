"""Both phases on a model that draws noise: what is done is kept, and judging twice gives the same numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fake_people
import numpy as np
import pytest
from PIL import Image

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.errors import FaceError, InputError, OutputError
from dynamicid_jax.evaluation import judging, sampling
from dynamicid_jax.evaluation.claims import Claim
from dynamicid_jax.evaluation.colours import Colours
from dynamicid_jax.evaluation.looks import Face, KeptLooks
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.report import results, table, write_results
from dynamicid_jax.evaluation.runs import Settings, claim_folder, read_run
from dynamicid_jax.evaluation.sampling import (
    gates_file,
    picture_file,
    sample,
    unet_calls,
)
from dynamicid_jax.evaluation.sheets import sheets, write_sheets
from dynamicid_jax.evaluation.suite import read_suite
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.faces.pose import pose_from_points
from dynamicid_jax.faces.record import Detection, FaceRecord
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.inference.recipe import read_recipe

MINI = read_suite("mini")
PEOPLE = MINI.cast(None)
CLAIMS = MINI.chosen("one")
SHOTS = MINI.shots(CLAIMS, range(3), PEOPLE)
QUICK = Settings(steps=2, sampler="ddim")


class MiddlePack(FacePack):
    """Says that a face is in the middle of every photo, unless told not to."""

    def __init__(self) -> None:
        self.folder, self.name, self.files, self.unused = Path("middle"), "middle", {}, ()
        self.landmark_sets = (5,)
        self.blind = False

    def detect(self, photo):
        if self.blind:
            return []
        side = photo.shape[0]
        points = np.array([[4, 4], [6, 4], [5, 5], [4, 6], [6, 6]], np.float32) * side / 10
        box = np.array([0.2, 0.2, 0.8, 0.8], np.float32) * side
        return [Detection(box, points, 0.9)]

    def record(self, photo, detection, id_channels="bgr"):
        raw = np.resize(photo[::9, ::9].astype(np.float32).ravel() - 128, 512)
        pose = pose_from_points(detection.points)
        return FaceRecord(detection, raw / np.linalg.norm(raw), pose)


def look(picture):
    """One face, read from the picture's bytes."""
    raw = np.resize(picture.astype(np.float32).ravel()[::7] - 128, 64)
    box = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    return [Face(box, raw / np.linalg.norm(raw), int(picture.sum()) % 7, 0)]


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "PHOTO_SIZE", 64)
        yield


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    folder = write_random_model(tmp_path_factory.mktemp("model") / "nano", "nano")
    return DynamicIDPipeline.from_pretrained(folder, face_pack=MiddlePack())


@pytest.fixture(scope="module")
def out(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "results"
    assert sample(pipe, SHOTS[:2], folder, QUICK, batch=2) == 2
    return folder


@pytest.mark.filterwarnings("ignore:prompt")  # bytes are many tokens
def test_a_run_goes_on_and_draws_nothing_twice(pipe, out):
    first = {shot.name: picture_file(out, shot).read_bytes() for shot in SHOTS[:2]}
    told = []
    tell = lambda done, total: told.append((done, total))  # noqa: E731
    assert sample(pipe, SHOTS, out, QUICK, batch=2, tell=tell) == 1
    assert told == [(2, 3), (3, 3)]
    assert sample(pipe, SHOTS, out, QUICK, batch=2) == 0
    with (out / "pictures.jsonl").open("a") as stream:
        stream.write('{"name": "one/000')  # killed here
    picture_file(out, SHOTS[1]).unlink()
    assert sample(pipe, SHOTS, out, QUICK, batch=2) == 1
    for shot in SHOTS[:2]:
        with Image.open(picture_file(out, shot)) as image:
            assert json.loads(image.text["dynamicid"])["seed"] == shot.seed
    assert first == {shot.name: picture_file(out, shot).read_bytes() for shot in SHOTS[:2]}
    with np.load(gates_file(out, SHOTS[0])) as gates:
        assert all(gates[name].ndim == 2 for name in gates.files)
        assert len(gates.files) == 7


def test_other_settings_need_another_folder(pipe, out):
    with pytest.raises(InputError, match=r"\(steps differ, see run\.json\); choose another"):
        sample(pipe, SHOTS, out, replace(QUICK, steps=3), batch=2)
    with pytest.raises(InputError, match=r"\(settings differ"):
        sample(pipe, SHOTS, out, replace(QUICK, guidance_interval=(0.0, 0.5)), batch=2)
    with pytest.raises(InputError, match=r"guidance_interval: expected two fractions"):
        sample(pipe, SHOTS, out, replace(QUICK, guidance_interval=(0.5, 0.0)), batch=2)
    with pytest.raises(InputError, match=r"\(edits differ"):  # the same names, other pictures
        sample(pipe, SHOTS, out, QUICK, batch=2, edits=False)


@pytest.mark.filterwarnings("ignore:prompt")
def test_a_batch_is_timed_when_its_programs_are_there(pipe, tmp_path, monkeypatch):
    """Five shots at most four at once are two batches of three rows; none of them compiles while it is timed."""
    drawn = []
    real = pipe.many

    def many(calls):
        before = [one._cache_size() for one in (networks.run_many, networks.decode)]
        made = real(calls)
        after = [one._cache_size() for one in (networks.run_many, networks.decode)]
        drawn.append((len(calls), calls[0]["steps"], before == after))
        return made

    monkeypatch.setattr(pipe, "many", many)
    shots = MINI.shots(CLAIMS, range(5), PEOPLE)
    assert sample(pipe, shots, tmp_path, QUICK, batch=4) == 5
    assert [one[:2] for one in drawn] == [(3, 1), (3, 2), (3, 2)]  # one step for nobody
    assert [one[2] for one in drawn[1:]] == [True, True]
    seen = judging.look_at(tmp_path, shots, KeptLooks(look, tmp_path / "l", "x"), lambda *_: None)
    assert all(0 < one.seconds < one.seconds_compiling for one in seen)
    assert len({one.seconds for one in seen[:3]}) == 1


def test_batches_waste_less_than_a_row_each():
    shots = MINI.shots(MINI.claims, range(7), PEOPLE)
    for most in (1, 4, 16, 64):
        rows = sampling._rows(shots, most)
        batches = list(sampling._batches(shots, rows))
        assert sum(map(len, batches)) == len(shots)
        assert max(rows.values()) <= most
        spare = sum(rows[sampling._shape(some[0])] - len(some) for some in batches)
        assert spare < len(batches)


def test_the_run_says_how_wide_a_cell_is(pipe, tmp_path):
    """Phase 2 has no model; a folder that does not say it yet is told how to."""
    claim_folder(pipe, tmp_path, QUICK, leaks={"outcome": "none", "people": 3, "against": []})
    assert read_run(tmp_path).cell == pipe.config.vae.downscale
    kept = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**kept, "cell": None}))
    with pytest.raises(InputError, match="--only sample adds what is missing"):
        read_run(tmp_path)
    claim_folder(pipe, tmp_path, QUICK)
    assert read_run(tmp_path).values == kept
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is there"):
        claim_folder(pipe, tmp_path / "file", QUICK)


def test_a_photo_without_a_face_is_a_failure_not_a_stop(pipe, tmp_path):
    pack = pipe.face_pack
    pack.blind = True
    try:
        assert sample(pipe, SHOTS[:1], tmp_path, QUICK, batch=2) == 1
        with pytest.raises(FaceError):
            pipe.person(np.zeros((64, 64, 3), np.uint8))
    finally:
        pack.blind = False
    assert "no face" in sampling.refused(tmp_path, SHOTS)[SHOTS[0].name]
    (seen,) = judging.look_at(
        tmp_path, SHOTS[:1], KeptLooks(look, tmp_path / "l", "x"), lambda *_: None
    )
    assert seen.picture is None
    assert seen.look == []


@pytest.fixture
def _plain_colours(monkeypatch):
    """Classifiers that nobody asks, and pictures of one size: one program draws all."""
    monkeypatch.setattr(judging, "GALLERY_SIZE", 64)
    monkeypatch.setattr(
        judging, "fit_colours", lambda size: Colours(np.zeros((10, 3, 8, 3)), np.zeros((8, 2, 3)))
    )


@pytest.mark.filterwarnings("ignore:prompt")
@pytest.mark.usefixtures("_plain_colours")
def test_judging_twice_gives_the_same_numbers_and_looks_once(pipe, out):
    sample(pipe, SHOTS, out, QUICK, batch=2)
    looked = []

    def counted(picture):
        looked.append(picture)
        return look(picture)

    texts = []
    claims = {**CLAIMS, "words": Claim(("one",), ("clip_t",))}
    alike = lambda picture, prompt: float(len(prompt))  # noqa: E731
    for _ in range(2):
        looker = KeptLooks(counted, out / "looks.jsonl", "x")
        verdict = judging.judge(out, SHOTS, claims, looker, alike=alike)
        about = {"suite": "mini", "run": "mini", "model": "nano", "judges": "x"}
        made = results(verdict.found, verdict.ceiling, MINI.requirements, about, {})
        write_results(out, made, MINI.requirements, verdict.found)
        texts.append((out / "results.json").read_text())
    assert texts[0] == texts[1]
    assert len(looked) == 3 + 50 + 3  # pictures, gallery, truth
    words, truth = (some["one_clip_t"].samples for some in (verdict.found, verdict.ceiling))
    assert words == truth  # the truth is held against the same words
    assert "| one person: rank-1 among 50 |" in table(made, MINI.requirements)
    assert json.loads(texts[0])["claims"]["one_rank_1"]["count"] == 3
    (sheet,) = write_sheets(out, sheets(verdict.seen, verdict.scores))
    assert sheet.name == "one.png"
    KeptLooks(counted, out / "looks.jsonl", "other judges")([verdict.seen[0].picture])
    assert len(looked) == 57


@pytest.mark.filterwarnings("ignore:prompt")
@pytest.mark.usefixtures("_plain_colours")
def test_a_second_model_is_compared_by_the_context_that_it_keeps(pipe, out, tmp_path):
    claims = MINI.chosen("context")
    shots = MINI.shots(claims, range(2), PEOPLE)
    assert {shot.kind for shot in shots} == {"one", "context"}
    assert sample(pipe, shots, tmp_path, QUICK, batch=2) == 4
    bare = tmp_path / judging.WITHOUT_GATE
    shutil.copytree(tmp_path, bare)
    looker = KeptLooks(look, tmp_path / "looks.jsonl", "x")
    found = estimates(judging.judge(tmp_path, shots, claims, looker))
    assert found["context_gain"].value == 0
    assert 0 < found["context_psnr"].value == found["context_psnr_without_gate"].value
    picture_file(bare, shots[0]).write_bytes(picture_file(bare, shots[2]).read_bytes())  # no change
    kept = estimates(judging.judge(tmp_path, shots, claims, looker))
    assert kept["context_gain"].value < -10
    assert judging.context_shots(SHOTS) == []


def estimates(verdict):
    return {name: one.estimate for name, one in verdict.found.items()}


def test_missing_pictures_are_named(out):
    with pytest.raises(InputError, match=r"1 of 1 pictures are missing, one/00077 among them"):
        judging.look_at(out, SERIES["one"](77), KeptLooks(look, out / "l", "x"), lambda *_: None)
    with pytest.raises(InputError, match=r"holds no run\.json"):
        judging.judge(out / "nowhere", SHOTS, CLAIMS, KeptLooks(look, out / "l", "x"))


def test_the_cost_of_the_whole_suite():
    shots = MINI.shots(MINI.claims, range(5), PEOPLE)
    assert len(shots) == 5 * 20
    assert unet_calls(shots, 20) == 5 * 20 * 2 * 20


@pytest.mark.filterwarnings("ignore:prompt")
def test_photographed_people_go_the_same_way(pipe, tmp_path):
    """Their own photos, words instead of contents, no ceiling; a model that cannot edit gets the references."""
    fake_people.write_people(tmp_path / "photos", ("coal", "sky"), photos=2)
    suite = read_suite("single")
    cast, claims = suite.cast(tmp_path / "photos"), suite.chosen(None)
    shots = suite.shots(claims, range(2), cast, can_edit=False)[:4]
    assert {shot.kind for shot in shots} == {"single", "single_without_people"}
    out = tmp_path / "out"
    run = suite.run_name(cast)
    assert sample(pipe, shots, out, QUICK, batch=2, suite=run) == 4
    with pytest.raises(InputError, match=r"\(suite differ, see run\.json\)"):
        sample(pipe, shots, out, QUICK, batch=2, suite="another")
    record = json.loads((out / "pictures.jsonl").read_text().splitlines()[0])
    assert record["prompt"] == "a photo of one person at a market"
    assert record["seconds"] > 0
    assert record["seconds_compiling"] > record["seconds"]
    recipe = read_recipe(picture_file(out, shots[0]))
    (person,) = recipe["people"]
    assert "consent" not in person  # a photographed person exists
    verdict = judging.judge(out, shots, claims, KeptLooks(look, tmp_path / "l", "x"))
    found = estimates(verdict)
    assert verdict.ceiling == {}
    assert found["single_expr"].count == found["single_face_sim"].count == 2
    assert found["single_diversity"].count == 1
    assert 0 <= found["single_background_ssim"].value <= 1
    assert "single_copy_paste" in found
    assert set(sheets(verdict.seen, verdict.scores)) == {"single"}
