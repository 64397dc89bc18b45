"""Curves of a run as a picture, with Pillow alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from dynamicid_jax.training.tiles import FAINT, FRAME, INK, PAPER, font
from dynamicid_jax.types import Number

COLOURS = ("#0969da", "#d1570a", "#1a7f37", "#8250df", "#bf3989")
SHARP = 3  # drawn this much larger and scaled down, which smooths the lines
LOGARITHMIC = 30.0  # ratio of greatest to least above which the scale is
LEFT, RIGHT, TOP, BOTTOM = 72, 32, 56, 48
PANEL = (720, 400)  # pixels of one of several pictures on a sheet
COLUMNS = 2  # of such a sheet
SMOOTHING = 0.02  # share of the points over which a noisy curve is averaged


@dataclass(frozen=True)
class Curve:
    """One line.

    Attributes:
        name: for the legend.
        x: ascending.
        y: values; those not finite leave a gap.
        band: lower and upper ends of an interval around each value, or None.
        smooth: draws the values faintly and their running mean over them.
    """

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    band: tuple[Sequence[Number], Sequence[Number]] | None = None
    smooth: bool = False


def plot(
    curves: Sequence[Curve],
    title: str,
    x_label: str = "updates",
    size: tuple[int, int] = (960, 480),
) -> Image.Image:
    """The curves with axes, grid and legend."""
    canvas = Image.new("RGB", (size[0] * SHARP, size[1] * SHARP), PAPER)
    draw = ImageDraw.Draw(canvas, "RGBA")
    frame = _Frame.around(curves, size)
    _axes(draw, frame, x_label)
    for number, curve in enumerate(curves):
        _curve(draw, frame, curve, COLOURS[number % len(COLOURS)])
    _text(draw, (LEFT, 14), title, INK, 17)
    _legend(draw, curves, size)
    return canvas.resize(size, Image.Resampling.LANCZOS)


def side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    """Pictures of the size `PANEL` in rows, from the left."""
    columns = min(COLUMNS, len(panels))
    width, height = PANEL
    sheet = Image.new("RGB", (columns * width, -(-len(panels) // columns) * height), "white")
    for place, panel in enumerate(panels):
        sheet.paste(panel, (place % columns * width, place // columns * height))
    # A few dozen colours are enough for lines on paper, and a third of the bytes.
    return sheet.quantize(64)


@dataclass(frozen=True)
class _Frame:
    """Where values lie in the picture, in its final pixels."""

    x: tuple[Number, Number]
    y: tuple[Number, Number]
    logarithmic: bool
    size: tuple[int, int]

    @classmethod
    def around(cls, curves: Sequence[Curve], size: tuple[int, int]) -> "_Frame":
        """Room for all values, smoothed ones by their bulk: one early outlier must not flatten the rest."""
        xs = [float(x) for curve in curves for x in curve.x]
        ys: list[float] = []
        for curve in curves:
            values = np.array(curve.y, np.float64)
            values = values[np.isfinite(values)]
            if curve.smooth and len(values) > 20:
                low, high = np.quantile(values, [0.0, 0.99])
                values = values[(values >= low) & (values <= high)]
            for end in curve.band or ():
                ys += [float(y) for y in end if math.isfinite(y)]
            ys += values.tolist()
        low, high = (min(ys), max(ys)) if ys else (0.0, 1.0)
        logarithmic = low > 0 and high / low > LOGARITHMIC
        if logarithmic:
            low, high = low / 1.1, high * 1.1
        else:
            margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
            low, high = low - margin if low < 0 else max(0.0, low - margin), high + margin
        first, last = (min(xs), max(xs)) if xs else (0.0, 1.0)
        return cls((first, last if last > first else first + 1), (low, high), logarithmic, size)

    def at(self, x: Number, y: Number) -> tuple[Number, Number]:
        """A point, in the enlarged picture's pixels."""
        scale = math.log if self.logarithmic else float
        low, high = scale(self.y[0]), scale(self.y[1])
        up = (scale(min(max(y, self.y[0]), self.y[1])) - low) / (high - low)
        along = (x - self.x[0]) / (self.x[1] - self.x[0])
        width, height = self.size[0] - LEFT - RIGHT, self.size[1] - TOP - BOTTOM
        return SHARP * (LEFT + along * width), SHARP * (TOP + (1 - up) * height)


def _axes(draw: ImageDraw.ImageDraw, frame: _Frame, x_label: str) -> None:
    corner, far = frame.at(frame.x[0], frame.y[0]), frame.at(frame.x[1], frame.y[1])
    for y in decades(*frame.y) if frame.logarithmic else ticks(*frame.y):
        height = frame.at(frame.x[0], y)[1]
        draw.line([(corner[0], height), (far[0], height)], FRAME, SHARP)
        _text(draw, (LEFT - 8, height / SHARP), f"{y:.6g}", FAINT, 13, "rm")
    for x in ticks(*frame.x):
        across = frame.at(x, frame.y[0])[0]
        draw.line([(across, corner[1]), (across, corner[1] + 5 * SHARP)], FAINT, SHARP)
        _text(draw, (across / SHARP, corner[1] / SHARP + 8), f"{x:,.6g}", FAINT, 13, "ma")
    if frame.y[0] < 0 < frame.y[1]:
        zero = frame.at(frame.x[0], 0.0)[1]
        draw.line([(corner[0], zero), (far[0], zero)], INK, SHARP)
    draw.line([corner, (far[0], corner[1])], FAINT, SHARP)
    middle = (corner[0] + far[0]) / 2 / SHARP
    _text(draw, (middle, frame.size[1] - 8), x_label, FAINT, 13, "ms")


def _curve(draw: ImageDraw.ImageDraw, frame: _Frame, curve: Curve, colour: str) -> None:
    if curve.band is not None:
        ends = zip(curve.x, *curve.band, strict=True)
        known = [end for end in ends if all(map(math.isfinite, end))]
        around = [frame.at(x, low) for x, low, _ in known]
        around += [frame.at(x, high) for x, _, high in reversed(known)]
        if len(known) > 1:
            draw.polygon(around, colour + "30")
    points = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    where = [frame.at(x, y) for x, y in points]
    if curve.smooth and len(points) > 20:
        draw.line(where, colour + "60", SHARP, joint="curve")
        calm = running_mean(np.array([y for _, y in points]), round(SMOOTHING * len(points)))
        where = [frame.at(x, float(y)) for (x, _), y in zip(points, calm, strict=True)]
    elif len(points) <= 60:
        for x, y in where:
            draw.ellipse((x - 3 * SHARP, y - 3 * SHARP, x + 3 * SHARP, y + 3 * SHARP), colour)
    if len(where) > 1:
        draw.line(where, colour, 2 * SHARP, joint="curve")


def _legend(draw: ImageDraw.ImageDraw, curves: Sequence[Curve], size: tuple[int, int]) -> None:
    """From the right: the title may be long."""
    right = size[0] - RIGHT
    for number, curve in reversed(list(enumerate(curves))):
        _text(draw, (right, 41), curve.name, INK, 13, "rm")
        right -= round(font(13).getlength(curve.name)) + 8
        line = [((right - 20) * SHARP, 41 * SHARP), (right * SHARP, 41 * SHARP)]
        draw.line(line, COLOURS[number % len(COLOURS)], 3 * SHARP)
        right -= 38


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[Number, Number],
    text: str,
    colour: str,
    size: int,
    anchor: str = "la",
) -> None:
    draw.text((at[0] * SHARP, at[1] * SHARP), text, colour, font(size * SHARP), anchor=anchor)


def running_mean(values: Float[np.ndarray, "n"], width: int) -> Float[np.ndarray, "n"]:
    """Mean of the `width` values on either side and the value itself; fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - width, 0), np.minimum(places + width + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def ticks(low: Number, high: Number, most: int = 7) -> list[float]:
    """Round numbers from `low` to `high`: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def decades(low: Number, high: Number) -> list[float]:
    """1, 2 and 5 times powers of ten from `low` to `high`; powers of ten alone where these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    values = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in values if low <= value <= high]
