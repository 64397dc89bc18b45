"""The other layouts, from folder to records: published, studio grid, captioned pictures."""

import fake_face_pack as fake_pack
import fake_people as people
import numpy as np
import pytest
from fake_people import records, settings
from PIL import Image

from dynamicid_jax.data.dataset import open_dataset
from dynamicid_jax.data.prepare.run import prepare
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.record import unpack_raster


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return fake_pack.write_pack(tmp_path_factory.mktemp("packs") / "fake")


def test_the_published_layout_keeps_its_pictures_rasters_and_words(tmp_path, pack):
    drawn = np.zeros((96, 96), np.uint8)
    drawn[10:52, 20:22] = 255  # 84 points
    for person in ("coal", "sky"):
        for k in range(2):
            people.save(
                people.portrait(people.BACKGROUNDS[person], 8 + k), tmp_path / f"p/{person}/{k}.png"
            )
            people.save(
                np.repeat(drawn[..., None], 3, 2), tmp_path / f"p/{person}/{k}_landmark.png"
            )
            (tmp_path / f"p/{person}/{k}.txt").write_text(
                "in a sad expression, facing down, in side view"
            )
    (tmp_path / "p/sky/1_landmark.png").unlink()
    out = tmp_path / "out"
    report = prepare(settings(tmp_path / "p", out, pack)).report
    assert report["layout"] == "variface"
    assert [one["photo"] for one in report["rejected_pictures"]] == ["sky/1.png"]
    assert open_dataset(out).info.landmark_set == 106
    record = records(out)["coal/1"]
    assert (record.width, record.height) == (640, 640)
    np.testing.assert_array_equal(unpack_raster(record.raster) > 0, drawn > 0)
    assert record.face_prompt == "in a sad expression, facing down, in side view"
    assert record.expression_source == "text"
    assert record.embedding.shape == (512,)


def test_a_studio_grid_gives_cells(tmp_path, pack):
    for name in ("happy_front", "sad_full_left", "neutral_full_right"):
        people.save(people.portrait((0, 0, 0), 8, 8), tmp_path / f"p/a/{name}.png")
        people.save(people.portrait((0, 0, 255), 8, 8), tmp_path / f"p/b/{name}.jpg")
    for k, path in enumerate(sorted((tmp_path / "p").rglob("*.*"))):
        pixels = np.array(Image.open(path))
        pixels[0, 0] = k  # else they are one file
        Image.fromarray(pixels).save(path)
    out = tmp_path / "out"
    prepare(settings(tmp_path / "p", out, pack))
    found = records(out)
    cells = {key.split("/")[1]: record.studio_cell for key, record in found.items()}
    assert cells == {"happy_front": 2, "sad_full_left": 10, "neutral_full_right": 34}
    assert found["a/sad_full_left"].face_prompt == "in a sad expression, in full left view"
    assert found["a/sad_full_left"].expression_source == "grid"


@pytest.mark.parametrize("faces", [True, False])
def test_captioned_pictures_are_kept_whole_with_or_without_faces(tmp_path, pack, faces):
    for k in range(4):
        pixels = people.portrait((0, 40 * k, 200), 4 + 3 * k, 8)[:480]
        people.save(pixels, tmp_path / f"p/{k}.png")
        (tmp_path / f"p/{k}.txt").write_text(f"a person in place {k}")
    people.save(np.zeros((64, 64, 3), np.uint8), tmp_path / "p/sub/empty.png")
    out = tmp_path / "out"
    request = Settings(str(tmp_path / "p"), str(out), str(pack) if faces else None, processes=1)
    report = prepare(request).report
    found = records(out)
    assert len(found) == (4 if faces else 5)
    assert report["rejected"] == ({"no face": 1} if faces else {})
    record = found["1.png"]
    assert (record.caption, record.person) == ("a person in place 1", "")
    assert (record.width, record.height) == (640, 480)
    info = open_dataset(out).info
    if faces:
        x0, y0, x1, y1 = record.face_box
        assert x0 * 640 == pytest.approx(7 * 32 - 64, abs=33)
        assert (x1 - x0) * 640 == pytest.approx(128, abs=1)
        assert (y1 - y0) * 480 == pytest.approx(128, abs=1)
        assert (info.landmark_set, info.embedding_width) == (5, 512)
    else:
        assert (info.landmark_set, info.embedding_width) == (0, 0)
        assert record.face_box.sum() == 0
        assert (unpack_raster(record.raster) == -1).all()
