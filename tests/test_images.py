"""User pictures: every honoured kind comes out as upright RGB bytes, every bad one as one line."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from dynamicid_jax.errors import InputError
from dynamicid_jax.images import as_rgb, load_rgb, reference_hash, rgb_from_bytes


def scene(height=40, width=60):
    """Four flat quarters and a gradient strip: every rotation and mirroring looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 250, 20)
    pixels[height // 2 :, : width // 2] = (20, 20, 250)
    pixels[-4:] = np.linspace(0, 255, width).astype(np.uint8)[None, :, None]
    return pixels


def save(path, picture, **options):
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(path, **options)
    return path


def refusal(value, **options):
    """The one line with which a picture is refused."""
    with pytest.raises(InputError) as caught:
        as_rgb(value, **options)
    line = str(caught.value)
    assert line == " ".join(line.split())
    return line


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats_are_read_exactly(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", scene(), **options)
    np.testing.assert_array_equal(load_rgb(path), scene())


def test_jpeg_is_read_closely(tmp_path):
    loaded = load_rgb(save(tmp_path / "a.jpg", scene(), quality=95)).astype(int)
    assert np.abs(loaded - scene()).mean() < 4


def test_the_format_is_told_by_the_bytes_not_the_name(tmp_path):
    path = save(tmp_path / "a.png", scene())
    renamed = path.rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(load_rgb(str(renamed)), scene())


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (200, 30)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.unique(load_rgb(tmp_path / "a.gif")).tolist() == [200]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", scene(), exif=exif, **options)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    assert expected.shape[0] == (60 if orientation >= 5 else 40)
    np.testing.assert_array_equal(load_rgb(path), expected)


def test_a_damaged_exif_block_leaves_the_picture_as_it_is(tmp_path):
    path = save(tmp_path / "a.png", scene(), exif=b"Exif\x00\x00MM\x00*garbage without any sense")
    np.testing.assert_array_equal(load_rgb(path), scene())


def test_alpha_is_composited_on_white(tmp_path):
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :10, 3] = 255
    pixels[0, 0, 3] = 51  # one fifth of black on white
    for value in (save(tmp_path / "a.png", pixels), pixels, Image.fromarray(pixels)):
        loaded = as_rgb(value)
        assert loaded[5, 5].tolist() == [0, 0, 0]
        assert loaded[5, 15].tolist() == [255, 255, 255]
        assert loaded[0, 0].tolist() == [204, 204, 204]


def test_a_palette_with_a_transparent_colour(tmp_path):
    picture = Image.fromarray(np.repeat(np.array([[0] * 10 + [1] * 10], np.uint8), 20, axis=0), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    loaded = load_rgb(save(tmp_path / "a.png", picture, transparency=1))
    assert loaded[0, 0].tolist() == [10, 20, 30]
    assert loaded[0, 19].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_becomes_three_equal_channels(tmp_path, mode):
    loaded = load_rgb(save(tmp_path / "a.png", Image.fromarray(scene()).convert(mode)))
    assert loaded.shape == (40, 60, 3)
    assert (np.ptp(loaded.astype(int), axis=2) == 0).all()
    assert np.ptp(loaded) == 255


def test_cmyk_jpeg(tmp_path):
    path = save(tmp_path / "a.jpg", Image.fromarray(scene()).convert("CMYK"), quality=95)
    with Image.open(path) as picture:
        assert picture.mode == "CMYK"
    assert np.abs(load_rgb(path).astype(int) - scene()).mean() < 6


@pytest.mark.parametrize("suffix", ["png", "tiff", "ppm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    values = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (20, 1))
    loaded = load_rgb(save(tmp_path / f"a.{suffix}", values))
    np.testing.assert_array_equal(loaded[0, :, 1], np.round(values[0] / 257))
    assert loaded[0, 0, 0] == 0
    assert loaded[0, -1, 0] == 255


def test_big_endian_sixteen_bits(tmp_path):
    values = np.tile(np.array([0, 257, 65535], np.uint16), (20, 8))
    path = tmp_path / "a.tiff"
    save(path, Image.frombytes("I;16B", (24, 20), values.astype(">u2").tobytes()))
    assert load_rgb(path)[0, :3, 0].tolist() == [0, 1, 255]


def test_pixels_without_a_fixed_range_are_refused(tmp_path):
    path = save(tmp_path / "a.tiff", np.zeros((20, 20), np.float32))
    assert "a.tiff: pixels of mode F have no fixed range" in refusal(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "ppm", "tiff", "webp", "gif"])
@pytest.mark.parametrize("kept", [0.02, 0.4, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"photo.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert refusal(path).startswith(str(path))


def test_what_is_not_a_picture_file(tmp_path):
    text, empty = tmp_path / "notes.png", tmp_path / "empty.png"
    text.write_text("not a picture at all")
    empty.touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a picture in a known format (JPEG, PNG" in refusal(text)
    assert "not a picture in a known format" in refusal(empty)
    assert refusal(tmp_path / "absent.png") == f"{tmp_path / 'absent.png'}: no such file"
    assert "is a folder; expected a picture file" in refusal(tmp_path)
    assert "is not a regular file" in refusal(tmp_path / "pipe.png")
    assert "cannot be read" in refusal("a\0b.png")
    assert "cannot be read" in refusal("x" * 5000)


def test_a_format_off_the_list_is_refused(tmp_path):
    path = save(tmp_path / "a.tga", scene())
    assert "not a picture in a known format" in refusal(path)


def test_a_name_with_a_line_break_stays_one_line(tmp_path):
    assert "two?lines.png: no such file" in refusal(tmp_path / "two\nlines.png")


def test_a_1x1_picture_is_refused(tmp_path):
    path = save(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    assert refusal(path) == f"{path}: 1 x 1 pixels is too small; each side needs at least 16 pixels"


@pytest.mark.parametrize("size", [(30000, 20), (16000, 7000), (30000, 30000)])
def test_huge_pictures_are_refused_before_decoding(tmp_path, size):
    """The pixel data is absent, so only a check of the header can give this answer."""
    path = tmp_path / "huge.bmp"
    save(path, np.zeros((20, 20, 3), np.uint8))
    header = bytearray(path.read_bytes()[:54])
    header[18:26] = np.array(size, "<i4").tobytes()
    path.write_bytes(header)
    assert "too large; at most 100 megapixels and 20000 pixels a side" in refusal(path)


def test_a_picture_between_pillows_limit_and_ours_is_not_refused_for_its_size(tmp_path):
    """95 megapixels: Pillow warns there; ours must reach the decoder, which misses the pixels."""
    path = tmp_path / "large.bmp"
    save(path, np.zeros((20, 20, 3), np.uint8))
    header = bytearray(path.read_bytes()[:54])
    header[18:26] = np.array((10000, 9500), "<i4").tobytes()
    path.write_bytes(header)
    assert "damaged or cut short" in refusal(path)


def test_arrays_and_pil_images():
    np.testing.assert_array_equal(as_rgb(scene()), scene())
    np.testing.assert_array_equal(as_rgb(Image.fromarray(scene())), scene())
    grey = scene()[..., 0]
    for value in (grey, grey[..., None]):
        np.testing.assert_array_equal(as_rgb(value), np.repeat(grey[..., None], 3, axis=2))
    assert refusal(scene().astype(np.float32), name="pose").startswith(
        "pose: expected a uint8 array [height, width, 3], got float32 [40, 60, 3]"
    )
    assert "got uint8 [40, 60, 2]" in refusal(scene()[..., :2])
    assert "got uint8 [40]" in refusal(scene()[:, 0, 0])
    assert "got list" in refusal([[1, 2], [3, 4]])
    assert "1 x 1 pixels" in refusal(np.zeros((1, 1, 3), np.uint8))


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    assert (
        reference_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(InputError, match="no such file"):
        reference_hash(tmp_path / "absent.png")


def test_hashes_of_arrays_know_values_and_shapes():
    flat = np.arange(48, dtype=np.uint8)
    wide, tall = flat.reshape(2, 8, 3), flat.reshape(8, 2, 3)
    assert reference_hash(wide) == reference_hash(wide.copy())
    assert len({reference_hash(value) for value in (wide, tall, wide + np.uint8(1))}) == 3
    assert reference_hash(Image.fromarray(scene())) == reference_hash(scene())


def test_a_jpeg_with_scans_without_end_is_refused_before_it_is_decoded() -> None:
    """Libjpeg goes over the whole picture once more for every 23 bytes."""
    stream = io.BytesIO()
    Image.new("L", (64, 64), 128).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    assert rgb_from_bytes(whole, "a").shape == (64, 64, 3)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(InputError, match="a JPEG of 1006 scans; at most 64"):
        rgb_from_bytes(whole[:-2] + 1000 * last + whole[-2:], "a")


def test_a_damaged_tiff_is_one_line_on_stderr_too(capfd) -> None:
    """The library that decodes it talks to stderr itself."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8) * 255
    Image.fromarray(pixels).convert("1").save(stream, "TIFF", compression="group4")
    damaged = bytearray(stream.getvalue())
    damaged[8:300] = bytes(range(256)) + bytes(36)
    with pytest.raises(InputError):
        rgb_from_bytes(bytes(damaged), "a")
    assert capfd.readouterr() == ("", "")
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_pictures_written_as_text_are_refused(kind: bytes) -> None:
    depth = b"" if kind == b"P1" else b" 255"
    text = b"# a comment\n" + b"1 " * 20 * 20 * 3
    with pytest.raises(InputError, match="a PPM of written numbers"):
        rgb_from_bytes(kind + b" 20 20" + depth + b"\n" + text, "a")
