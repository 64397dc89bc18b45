"""Pictures to arrays: what the networks see of a picture, and where the face is in it."""

import numpy as np
import pytest
from fake_dataset import fake_record
from PIL import Image

from dynamicid_jax.data.record import pack_raster, unpack_raster
from dynamicid_jax.data.transforms import (
    box_in_square,
    reference_raster,
    reference_square,
    training_square,
    unpack_signs,
)
from dynamicid_jax.faces.reference import CROP_FACTOR, crop_repeating_edges, square_around
from dynamicid_jax.inference.preprocess import clip_pixels, clip_square
from dynamicid_jax.models.configs import ImageEncoderConfig
from dynamicid_jax.models.image_encoder import normalise


def marked(height, width, box):
    """A black picture with a white rectangle (in fractions)."""
    picture = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = (np.array(box) * [width, height, width, height]).round().astype(int)
    picture[y0:y1, x0:x1] = 255
    return picture


@pytest.mark.parametrize(("height", "width"), [(90, 90), (120, 200), (200, 120), (31, 64)])
@pytest.mark.parametrize("size", [16, 64, 128])
def test_the_box_follows_the_picture(height, width, size):
    box = np.array([0.4, 0.45, 0.6, 0.55], np.float32)
    pixels = training_square(marked(height, width, box), size)
    assert pixels.shape == (size, size, 3)
    moved = box_in_square(box, width, height)
    mass = (pixels[..., 0] / 255.0).sum() / size**2
    drawn = np.prod(box[2:] - box[:2])  # in the whole picture
    assert mass == pytest.approx(drawn * width * height / min(width, height) ** 2, rel=0.2)
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(np.array(edges) / size, moved, atol=1.5 / min(size, 31))


def test_a_square_of_the_right_size_is_left_alone():
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert training_square(picture, 64) is picture
    box = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    np.testing.assert_allclose(box_in_square(box, 64, 64), box, rtol=1e-6)


def test_a_box_beyond_the_square_is_cut_off_and_no_face_stays_none():
    wide = box_in_square(np.array([0, 0, 1, 1], np.float32), 200, 100)
    np.testing.assert_array_equal(wide, [0, 0, 1, 1])
    np.testing.assert_array_equal(box_in_square(np.zeros(4, np.float32), 200, 100), np.zeros(4))


def test_shrinking_is_antialiased():
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 255  # point sampling would give all black or all white
    small = training_square(lines, 32)[4:-4]
    assert abs(small.astype(int) - 127).max() <= 2


def test_the_reference_is_what_sampling_would_show_the_image_encoder():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (100, 140, 3)).astype(np.uint8)
    box = np.array([0.1, 0.2, 0.5, 0.9], np.float32)
    config = ImageEncoderConfig()
    corners = box * np.array([140, 100, 140, 100], np.float32)
    crop = crop_repeating_edges(picture, square_around(corners, CROP_FACTOR))
    ours = reference_square(picture, box, "face x 2", config.image_size)
    np.testing.assert_array_equal(normalise(ours, config), clip_pixels(crop, config))
    whole = reference_square(picture, box, "none", config.image_size)
    np.testing.assert_array_equal(whole, clip_square(picture, config.image_size))


def test_normalising_is_the_same_for_a_batch_and_for_jax():
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (2, 3, 5, 5, 3)).astype(np.uint8)
    config = ImageEncoderConfig()
    whole = normalise(pixels, config)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole[1, 2], normalise(pixels[1, 2], config))
    np.testing.assert_allclose(normalise(jnp.asarray(pixels), config), whole, rtol=1e-6, atol=1e-6)


def test_clip_square_scales_the_short_side_and_cuts_the_middle():
    picture = np.asarray(Image.new("RGB", (300, 100), "red"))
    picture = np.concatenate([picture[:, :100] * 0, picture[:, 100:200], picture[:, :100] * 0], 1)
    red = clip_square(picture, 50)
    assert red.shape == (50, 50, 3)
    assert red[:, 3:-3, 0].min() == 255


def test_rasters_come_back_as_signs():
    raster = np.random.default_rng(0).choice([-1.0, 1.0], (96, 96)).astype(np.float32)
    bits = pack_raster(raster)
    np.testing.assert_array_equal(unpack_signs(bits), raster)
    np.testing.assert_array_equal(unpack_raster(bits), raster)
    assert unpack_signs(bits).dtype == np.int8


def test_a_raster_follows_its_reference_crop():
    drawn = np.full((96, 96), -1, np.float32)
    drawn[48, 24] = drawn[12, 90] = 1  # row, column; the second leaves the crop
    box = np.array([0.1, 0.35, 0.4, 0.65], np.float32)  # the crop: x -0.05 to 0.55, y 0.2 to 0.8
    record = fake_record(
        "person0", 0, face_box=box, raster=pack_raster(drawn), width=300, height=300
    )
    rows, columns = np.nonzero(reference_raster(record, "face x 2") > 0)
    expected = (24.5 / 96 + 0.05) / 0.6 * 96, (48.5 / 96 - 0.2) / 0.6 * 96
    assert (columns.tolist(), rows.tolist()) == ([int(expected[0])], [int(expected[1])])
    np.testing.assert_array_equal(reference_raster(record, "none"), drawn)
