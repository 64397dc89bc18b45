"""`dynamicid prepare` from end to end, on a face pack whose answers are known."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_face_pack as fake_pack
import fake_people as people
import numpy as np
import pytest
from fake_people import records, settings
from PIL import Image

from dynamicid_jax.cli import main as cli
from dynamicid_jax.data.dataset import open_dataset
from dynamicid_jax.data.prepare.run import prepare, work_folder
from dynamicid_jax.data.record import unpack_raster
from dynamicid_jax.errors import DynamicIDError
from dynamicid_jax.faces.landmarks import raster
from dynamicid_jax.faces.pack import FacePack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return fake_pack.write_pack(tmp_path_factory.mktemp("packs") / "fake")


def decoded(record):
    return np.asarray(Image.open(io.BytesIO(record.picture)))


@pytest.fixture(scope="module")
def first(tmp_path_factory, pack):
    """Photographs with one of everything in them, prepared: (photos, out, report)."""
    root = tmp_path_factory.mktemp("first")
    photos = people.write_people(root / "photos")
    people.save(people.portrait(people.BACKGROUNDS["sun"]), photos / "sky" / "intruder.png")
    shutil.copy(photos / "snow/0.png", photos / "snow/again.png")
    (photos / "snow/broken.jpg").write_bytes(b"no picture")
    people.save(np.zeros((64, 64, 3), np.uint8), photos / "sun/empty.png")
    (photos / "coal/0.txt").write_text("a miner\nface: happy, facing up")
    (photos / "coal/person.json").write_text('{"licence": "CC0", "consent": "signed"}')
    two = people.portrait(people.BACKGROUNDS["coal"], 4, 8)
    two[:, 320:] = people.portrait(people.BACKGROUNDS["sun"], 15, 8)[:, 320:]
    people.save(two, photos / "coal/group.png")
    people.save(two, photos / "sun/group.png")
    for person in ("lone", "gone"):
        people.save(people.portrait((128, 128, 255)), photos / person / "1.png")
    (photos / "gone/person.json").write_text('{"consent": false}')
    out = root / "dataset"
    prepared = prepare(settings(photos, out, pack, consent="asked", outliers="reject"))
    return photos, out, prepared


def test_every_photo_is_accounted_for_with_its_reason(first):
    _, _, prepared = first
    report = prepared.report
    rejected = {one["photo"]: one["reason"] for one in report["rejected_pictures"]}
    assert rejected == {
        "sky/intruder.png": "another person",
        "snow/again.png": "duplicate",
        "snow/broken.jpg": "unreadable",
        "sun/empty.png": "no face",
        "gone/1.png": "no consent",
    }
    intruder = next(one for one in report["rejected_pictures"] if one["person"] == "sky")
    assert intruder["looks_like"] == "sun"
    assert report["kept"] == 15
    assert report["photos"] == 20
    assert sum(report["splits"].values()) == 15
    warnings = "\n".join(report["warnings"])
    assert "one usable photo only of lone" in warnings
    assert "no licence is recorded for lone" in warnings
    assert "no consent" not in warnings


def test_in_a_group_photo_each_person_gets_the_own_face(first):
    _, out, _ = first
    found = records(out)
    for person in ("coal", "sun"):
        corner = decoded(found[f"{person}/group"])[0, 0]
        assert abs(corner.astype(int) - people.BACKGROUNDS[person]).max() < 8
    assert json.loads(found["coal/group"].quality)["findings"][0]["reason"] == "several faces"


def test_a_record_is_what_the_photo_shows(first, pack):
    """The red block, 32 pixels wide, lies in the middle of a crop of 256 pixels: twice the face of 128."""
    _, out, _ = first
    record = records(out)["coal/0"]
    assert (record.person, record.source, record.width, record.height) == (
        "coal",
        "coal/0.png",
        256,
        256,
    )
    pixels = decoded(record)
    assert pixels.shape == (256, 256, 3)
    rows, columns = np.nonzero(pixels[..., 0] > 128)
    # The fake detector puts the face's middle at the upper left corner of the block.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (128, 159, 128, 159)
    np.testing.assert_allclose(record.face_box, [0.25, 0.25, 0.75, 0.75], atol=0.01)
    five = (fake_pack.POINTS * 64 + 128).astype(np.float32)
    drawn = raster(five, height=256, width=256)
    found = unpack_raster(record.raster)
    assert (found > 0).sum() == 5
    places, expected = np.argwhere(found > 0), np.argwhere(drawn > 0)
    np.testing.assert_allclose(places, expected, atol=1)
    whole = FacePack.load(pack)
    photo = people.portrait(people.BACKGROUNDS["coal"], 7, 8)
    face = whole.record(photo, whole.detect(photo)[0])
    np.testing.assert_allclose(record.embedding, face.embedding, atol=1e-6)
    assert (record.yaw, record.pitch) == pytest.approx((face.pose.yaw, face.pose.pitch), abs=1e-4)
    assert record.pose_source == "estimated from 5 points"


def test_words_and_terms_are_carried_into_the_records(first):
    _, out, _ = first
    found = records(out)
    spoken, silent = found["coal/0"], found["coal/1"]
    assert spoken.caption == "a miner"
    assert (spoken.expression, spoken.expression_source) == ("happy", "text")
    assert spoken.face_prompt.startswith("in a happy expression, facing up, in ")
    assert (silent.expression, silent.expression_source) == ("", "none")
    assert silent.caption == silent.face_prompt
    assert silent.face_prompt.startswith("in a neutral expression, ")
    assert (spoken.licence, spoken.consent) == ("CC0", "signed")
    assert (found["sky/0"].licence, found["sky/0"].consent) == ("", "asked")
    assert len(spoken.sha256) == 64


def test_the_dataset_says_how_it_was_made_and_the_report_has_pictures(first):
    _, out, prepared = first
    info = open_dataset(out).info
    assert (info.landmark_set, info.id_channels, info.embedding_width) == (5, "bgr", 512)
    assert info.face_pack[0] == "fake"
    assert any(name.startswith("detector.onnx: ") for name in info.face_pack)
    assert json.loads((out / "report.json").read_text()) == prepared.report
    sheets = [name for name in prepared.files if name.endswith(".png")]
    assert sheets
    for name in sheets:
        sheet = np.asarray(Image.open(out / name))
        assert sheet.shape[1] == 1240
        assert (sheet != 255).any(axis=2).mean() > 0.02


def test_a_second_start_has_nothing_to_do_and_other_photos_are_refused(first, pack, tmp_path):
    photos, out, prepared = first
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    again = prepare(settings(photos, out, pack, consent="asked"))
    assert again.again
    assert again.report == prepared.report
    with pytest.raises(DynamicIDError, match="other settings; give another folder, or --overwrite"):
        prepare(settings(photos, out, pack))
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before
    assert not work_folder(settings(photos, out, pack)).exists()  # it held face embeddings


def test_large_pictures_are_scaled_down_small_ones_never_up(tmp_path, pack):
    photos = people.write_people(tmp_path / "photos", ("coal", "sky"), 2)
    for limit, side in ((4096, 256), (100, 100)):
        made = settings(
            photos,
            tmp_path / str(limit),
            pack,
            max_side=limit,
            picture_format="jpeg",
            crop_factor=2.0,
        )
        prepare(made)
        for record in records(made.out).values():
            assert (record.width, record.height) == decoded(record).shape[:2] == (side, side)
            assert record.picture[:3] == b"\xff\xd8\xff"  # JPEG
            np.testing.assert_allclose(record.face_box, [0.25, 0.25, 0.75, 0.75], atol=0.01)


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path, pack):
    """kill -9; the second start looks only at what is missing and gives the unbroken run's dataset."""
    photos = people.write_people(tmp_path / "photos", photos=8)
    out, plain = tmp_path / "out", tmp_path / "plain"
    arguments = ["prepare", "--photos", photos, "--out", out, "--face_pack", pack, "--processes", 2]
    command = [sys.executable, "-m", "dynamicid_jax", *map(str, arguments)]
    journal = work_folder(settings(photos, out, pack))
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    patience = time.monotonic() + 60
    while len(list(journal.rglob("*.npz"))) < 4 and time.monotonic() < patience:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    time.sleep(1.0)  # workers end within half a second of their parent
    finished = len(list(journal.rglob("*.npz")))
    assert 4 <= finished < 32
    assert not out.exists()
    times = {path: path.stat().st_mtime_ns for path in journal.rglob("*.npz")}
    prepared = prepare(settings(photos, out, pack, keep_work=True))
    assert prepared.report["looked_at"] == 32 - finished
    assert {path: path.stat().st_mtime_ns for path in times} == times
    prepare(settings(photos, plain, pack))
    one, other = records(out), records(plain)
    assert list(one) == list(other)
    assert all(record.picture == other[key].picture for key, record in one.items())
    assert all((record.embedding == other[key].embedding).all() for key, record in one.items())
    (photos / "sky/3.png").unlink()
    people.save(people.portrait(people.BACKGROUNDS["sky"], 3), photos / "sky/5.png")
    changed = settings(photos, out, pack, keep_work=True, overwrite=True)
    assert prepare(changed).report["looked_at"] == 1  # the one that is new


def no_photos(root):
    (root / "photos/alice").mkdir(parents=True)


def loose_photos(root):
    people.save(people.portrait((0, 0, 0)), root / "photos/1.png")


def faceless(root):
    people.save(np.zeros((64, 64, 3), np.uint8), root / "photos/a/1.png")


def usual(root):
    people.write_people(root / "photos", ("coal",), 1)


def taken(root):
    usual(root)
    (root / "out").mkdir()
    (root / "out/thesis.tex").write_text("")


@pytest.mark.parametrize(
    ("make", "options", "line"),
    [
        (
            lambda root: None,
            [],
            "photos: no such folder; put each person's photographs into a folder",
        ),
        (no_photos, [], "holds no pictures"),
        (loose_photos, [], "only beside them; put each person's photographs into a folder"),
        (faceless, [], "none of 1 photos can be used; the first, a/1.png: no face found"),
        (usual, ["--face_pack", "no_such_pack"], "face pack no_such_pack: no folder"),
        (usual, ["--landmarks", "106"], "it gives 5 landmarks, and 106 were asked for"),
        (usual, ["--expression_judge", "PACK/detector.onnx"], "expected one float32 input"),
        (usual, ["--heldout", "2"], "add --split_by picture"),
        (usual, ["--validation", "1.5"], "expected a share below 1 or a whole number"),
        (usual, ["--crop_factor", "0.5"], "--crop_factor 0.5: expected 1.0 to 8.0"),
        (taken, [], "exists and is no dataset"),
        (usual, ["--out", "PHOTOS/out"], "lies among the photographs"),
    ],
)
def test_bad_requests_are_one_line_and_exit_2(make, options, line, tmp_path, pack, capsys):
    make(tmp_path)
    given = [
        one.replace("PACK", str(pack)).replace("PHOTOS", str(tmp_path / "photos"))
        for one in options
    ]
    arguments = ["prepare", "--photos", str(tmp_path / "photos"), "--processes", "1"]
    if "--face_pack" not in given:
        arguments += ["--face_pack", str(pack)]
    if "--out" not in given:
        arguments += ["--out", str(tmp_path / "out")]
    assert cli.main([*arguments, *given]) == 2
    shown = capsys.readouterr().err
    assert line in shown
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_the_printed_summary(tmp_path, pack, capsys):
    people.write_people(tmp_path / "photos", ("coal", "sky"), 4)
    out = str(tmp_path / "out")
    arguments = [
        "prepare",
        "--photos",
        str(tmp_path / "photos"),
        "--out",
        out,
        "--face_pack",
        str(pack),
    ]
    arguments += ["--processes", "1", "--split_by", "picture", "--heldout", "1", "--licence", "CC0"]
    assert cli.main([*arguments, "--consent", "yes"]) == 0
    shown = capsys.readouterr()
    assert "kept 8 of 8 photos of 2 people\n" in shown.out
    assert "splits: train 6 of 2 people, validation 2 of 2 people\n" in shown.out
    assert shown.err == ""
    assert os.path.isfile(Path(out) / "report.png")
