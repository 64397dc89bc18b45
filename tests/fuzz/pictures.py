"""Damaged pictures of every format that is read, and of some that are not."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from dynamicid_jax.images import MIN_SIDE, load_rgb, rgb_from_bytes

from .harness import Case, Fuzzer
from .mutate import Generator, mutate_bytes, pick

ON_DISK = 0.02  # of the cases are read from a file


def _seeds() -> list[bytes]:
    """Small pictures that use as much of their formats as Pillow can write."""
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 40 * 33 * 3).reshape(40, 33, 3)
    rgb = Image.fromarray((smooth + rng.integers(0, 9, smooth.shape)).clip(0, 255).astype(np.uint8))
    alpha = rgb.convert("RGBA")
    alpha.putalpha(rgb.convert("L"))
    deep = Image.fromarray(rng.integers(0, 65536, (40, 33), np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a" * 50, zip=True)
    text.add_itxt("dynamicid", '{"people": []}', zip=True)
    many = {"save_all": True, "append_images": [rgb.rotate(90), rgb], "duration": 50}
    wanted: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "PNG", {"pnginfo": text, "exif": exif}),
        (alpha, "PNG", {}),
        (rgb.convert("P"), "PNG", {"transparency": 3}),
        (rgb.convert("1"), "PNG", {"bits": 1}),
        (deep, "PNG", {}),
        (rgb, "PNG", many),
        (rgb, "JPEG", {"exif": exif, "quality": 80}),
        (rgb, "JPEG", {"progressive": True, "subsampling": 0, "comment": b"hello"}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb.convert("L"), "JPEG", {"restart_marker_blocks": 2}),
        (rgb, "WEBP", {"quality": 70, "exif": exif}),
        (alpha, "WEBP", {"lossless": True}),
        (rgb, "WEBP", many),
        (rgb, "BMP", {}),
        (rgb.convert("P"), "BMP", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw", "exif": exif}),
        (rgb, "TIFF", {"compression": "tiff_deflate", "tiffinfo": {317: 2}}),
        (rgb, "TIFF", {"compression": "jpeg"}),
        (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        (deep, "TIFF", {}),
        (rgb, "TIFF", {"save_all": True, "append_images": [alpha, deep]}),
        (rgb.convert("P"), "GIF", {"interlace": 1}),
        (rgb, "GIF", many),
        (rgb, "PPM", {}),
        (deep, "PPM", {}),
        (rgb, "ICO", {}),
        (rgb, "TGA", {}),
        (rgb.convert("L"), "EPS", {}),
    ]
    made = []
    for image, kind, options in wanted:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        made.append(stream.getvalue())
    plain = " ".join(map(str, rng.integers(0, 256, 20 * 20 * 3)))
    return [*made, f"P3\n# plain\n20 20\n255\n{plain}\n".encode(), b"P1\n20 20\n" + b"01" * 200]


def _prepare(folder: Path) -> Case:
    seeds, file = _seeds(), folder / "picture"

    def case(rng: Generator) -> None:
        data = mutate_bytes(rng, pick(rng, seeds), seeds)
        if rng.random() < ON_DISK:
            file.write_bytes(data)
            pixels = load_rgb(file)
        else:
            pixels = rgb_from_bytes(data, "picture")
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert min(pixels.shape[:2]) >= MIN_SIDE

    return case


FUZZER = Fuzzer("pictures", 100_000, 400, _prepare)
