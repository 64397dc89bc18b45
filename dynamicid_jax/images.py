"""The only door by which a user's picture enters: upright RGB bytes, or one clear line of refusal.

Honoured: EXIF orientation, alpha (composited on white), palettes, grey, CMYK, 16 bits per channel
(scaled, not clipped), the first frame of an animation. Not honoured: colour profiles.
"""

import contextlib
import hashlib
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from dynamicid_jax.errors import InputError, one_line
from dynamicid_jax.text import printable

RGB = UInt8[np.ndarray, "h w 3"]
Picture = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A file's path, a file's bytes, a PIL image, or an array."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
MAX_PIXELS = 100_000_000
MAX_SIDE = 20_000
MIN_SIDE = 16
MAX_BYTES = 1 << 30  # 100 megapixels of 16 bits in three channels, not compressed, are 600 MB
MAX_SCANS = 64
"""Of a JPEG; cameras and editors write 1 to 14. Every scan goes over the whole picture (60 ms at 100 megapixels) and
may be 23 bytes long, so a file of a megabyte could keep a reader busy for an hour."""
_ORIENTATION = 0x0112  # the EXIF tag
logging.getLogger("PIL").addHandler(logging.NullHandler())
"""Pillow logs errors of damaged TIFFs beside raising them; without a handler Python prints them to stderr."""


def load_rgb(path: str | os.PathLike[str]) -> RGB:
    """Reads a picture file as `uint8 [h w 3]`, RGB, upright.

    The size is checked from the header, before any pixel is decoded.

    Raises:
        InputError: no such file, a folder, not a picture of a known format, damaged or cut short,
            over 100 megapixels, a side over 20 000 or under 16 pixels, a JPEG of more than 64 scans,
            or pixels without a fixed range of values.
    """
    name = shown(path)
    check_file(path, name)
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                raise InputError(f"{name}: over {MAX_BYTES >> 30} GiB; expected a picture file")
            return _decode(stream, name)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error


def rgb_from_bytes(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> RGB:
    """A picture file's bytes as `uint8 [h w 3]`, RGB, upright.

    Raises:
        InputError: as `load_rgb`; also more than `max_pixels`.
    """
    return _decode(io.BytesIO(data), name, max_pixels)


def as_rgb(value: Any, name: str = "picture") -> RGB:
    """Any picture as `uint8 [h w 3]`, RGB.

    Args:
        value: a path, a picture file's bytes, a PIL image, or a uint8 array `[h w]`, `[h w 1]`, `[h w 3]` or `[h w 4]`.
        name: what errors call a picture that has no file.

    Raises:
        InputError: as `load_rgb`; also any other kind of value, dtype or shape.
    """
    if isinstance(value, str | os.PathLike):
        return load_rgb(value)
    if isinstance(value, bytes):
        return rgb_from_bytes(value, name)
    if isinstance(value, Image.Image):
        return _from_image(value, name)
    kind = f"{getattr(value, 'dtype', type(value).__name__)} {list(getattr(value, 'shape', ()))}"
    channels = value.shape[2:] if isinstance(value, np.ndarray) and value.ndim in (2, 3) else None
    if channels not in ((), (1,), (3,), (4,)) or value.dtype != np.uint8:
        raise InputError(f"{name}: expected a uint8 array [height, width, 3], got {kind}")
    _check_size(value.shape[1], value.shape[0], name)
    if channels == (3,):
        return np.ascontiguousarray(value)
    return _from_image(Image.fromarray(value[..., 0] if channels == (1,) else value), name)


def reference_hash(value: Picture) -> str:
    """SHA-256 of a picture: of a file's bytes, or of an array's dtype, shape and bytes.

    A PIL image counts as its RGB array.

    Raises:
        InputError: the file is missing or unreadable.
    """
    if isinstance(value, str | os.PathLike):
        name = shown(value)
        check_file(value, name)
        try:
            with open(value, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    array = _from_image(value, "picture") if isinstance(value, Image.Image) else value
    return hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()


def shown(path: str | os.PathLike[str]) -> str:
    """A path as one printable line (a file name may hold line breaks and control codes)."""
    return printable(os.fsdecode(path))


def check_file(path: str | os.PathLike[str], name: str) -> None:
    """Refuses what cannot be read to an end: nothing there, a folder, a pipe, a device.

    Raises:
        InputError: one line that begins with `name`.
    """
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(
            f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{name}: is a folder; expected a picture file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name}: is not a regular file; expected a picture file")


def _decode(stream: Any, name: str, max_pixels: int = MAX_PIXELS) -> RGB:
    """The picture in an open file."""
    try:
        # Pillow warns about sloppy metadata and sizes near its limit; our own limits decide.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError(_too_large(name)) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise InputError(
            f"{name}: not a picture in a known format ({known}), or its header is damaged"
        ) from None
    except Exception as error:  # Pillow's readers raise almost anything on hostile headers
        raise InputError(f"{name}: not a readable picture: {_line(error)}") from error
    if image.format in ("JPEG", "MPO"):
        _check_scans(stream, name)
    if any(tile[0] == "ppm_plain" for tile in image.tile):
        # Pillow reads these in Python: minutes for 100 megapixels, hours with comments between the numbers.
        raise InputError(f"{name}: a PPM of written numbers; save it as PNG, or as binary PPM")
    return _from_image(image, name, max_pixels)


def _check_scans(stream: Any, name: str) -> None:
    """Counts a JPEG's scans by their markers, which no coded pixel looks like."""
    place = stream.tell()
    stream.seek(0)
    scans = stream.read().count(b"\xff\xda")
    stream.seek(place)
    if scans > MAX_SCANS:
        raise InputError(
            f"{name}: a JPEG of {scans} scans; at most {MAX_SCANS} are read: save it again"
        )


def _from_image(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> RGB:
    """Decodes, converts and turns upright a PIL image whose pixels may not have been read yet."""
    _check_size(image.width, image.height, name, max_pixels)
    try:
        with warnings.catch_warnings(), _quiet(image.format == "TIFF"):
            warnings.simplefilter("ignore")
            image.load()
            pixels = _to_rgb(image)
            orientation = _orientation(image)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(_too_large(name)) from None
    except Exception as error:  # as above, decoders too
        raise InputError(f"{name}: damaged or cut short: {_line(error)}") from error
    if pixels is None:
        raise InputError(
            f"{name}: pixels of mode {image.mode} have no fixed range; "
            "save it with 8 or 16 bits per channel"
        )
    return np.ascontiguousarray(_upright(pixels, orientation))


@contextlib.contextmanager
def _quiet(libtiff: bool) -> Iterator[None]:
    """Keeps libtiff's own words off stderr: it writes a line for everything it finds odd in a damaged file."""
    try:
        kept = os.dup(2) if libtiff else None
    except OSError:  # there is no stderr
        kept = None
    if kept is None:
        yield
        return
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """The limits on a picture's sides, in pixels."""
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise InputError(_too_large(name, f"{width} x {height} pixels, ", max_pixels))
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{name}: {width} x {height} pixels is too small; "
            f"each side needs at least {MIN_SIDE} pixels"
        )


def _too_large(name: str, size: str = "", max_pixels: int = MAX_PIXELS) -> str:
    return (
        f"{name}: {size}too large; at most {max_pixels // 1_000_000} megapixels and {MAX_SIDE} "
        "pixels a side: scale it down first"
    )


def _line(error: Exception) -> str:
    """An error's own words on one line."""
    return shown(one_line(error))


def _to_rgb(image: Image.Image) -> RGB | None:
    """A decoded image as RGB bytes; None for a mode whose range of values is not known."""
    sixteen_bit = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM")
    )
    if sixteen_bit:
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)  # 65535 -> 255, to the nearest
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F", "LAB", "HSV"):
        return None
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.array(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8 (1: none); asked after decoding, for PNG may keep it last."""
    try:
        value: Any = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels: taken as they are
        return 1
    return value if value in range(1, 9) else 1


def _upright(pixels: RGB, orientation: int) -> UInt8[np.ndarray, "up_h up_w 3"]:
    """Undoes the camera's rotation and mirroring, per the EXIF table of orientations."""
    if orientation >= 5:  # 5 to 8 have rows and columns exchanged
        pixels = pixels.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
