"""Picture sheets of what was kept and what was not: for a person to look through in a minute.

First the rejected, each beside faces of its folder and of whom it looks like; then every person's kept faces in a
row, with the agreement of each as a bar below it (grey at the limit, green where it is high) and a blue corner if it
is held out.
"""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from dynamicid_jax.data.prepare.journal import Journal
from dynamicid_jax.data.prepare.records import NO_CONSENT, Outcome, Sorting, people_of
from dynamicid_jax.data.prepare.report import summary
from dynamicid_jax.data.prepare.splits import VALIDATION

WIDTH, HEIGHT, MARGIN = 1240, 1754, 36  # A4 at 150 dots per inch
FACE, GAP, LABEL = 68, 6, 168
PER_ROW = (WIDTH - 2 * MARGIN - LABEL) // (FACE + GAP)
INK, FAINT, PAPER = (32, 36, 42), (120, 126, 134), (255, 255, 255)
RED, GREEN, BLUE, GREY = (200, 52, 46), (46, 150, 84), (58, 110, 200), (196, 200, 205)


def draw_sheets(
    report: Mapping[str, Any], sorting: Sorting, journal: Journal, most: int
) -> Iterator[tuple[str, Image.Image]]:
    """File names and pages, at most so many."""
    if most == 0:
        return
    painter = _Painter(journal, most)
    painter.title(report)
    people = people_of(sorting.outcomes)
    rejected = [one for one in sorting.rejected() if one.reason != NO_CONSENT]
    refused = len(sorting.rejected()) - len(rejected)
    if rejected or refused:
        painter.heading(f"Rejected: {len(rejected) + refused}")
        for place, one in enumerate(rejected):
            if painter.pages_used > max(1, most // 2):  # leave room for those that are kept
                painter.note(f"and {len(rejected) - place} more; report.json names all")
                break
            painter.rejected(one, people, sorting)
        if refused:
            painter.note(f"{refused} of people who did not agree: not looked at")
    kept = {name: [one for one in some if one.kept] for name, some in people.items()}
    kept = {name: some for name, some in kept.items() if some}
    painter.heading(f"Kept: {len(sorting.kept())}")
    for place, (name, some) in enumerate(kept.items()):
        if painter.full:
            break
        if not painter.person(name, some, len(people[name]), sorting.chosen.limit):
            painter.note(f"and {len(kept) - place} more people; report.json names all")
            break
    pages = painter.pages
    for number, page in enumerate(pages, 1):
        yield "report.png" if len(pages) == 1 else f"report-{number}.png", page


class _Painter:
    """Pages, filled from top to bottom."""

    def __init__(self, journal: Journal, most: int) -> None:
        self._journal, self._most = journal, most
        self._pages: list[Image.Image] = []
        self.full = False
        self._next_page()

    @property
    def pages_used(self) -> int:
        """How many were begun."""
        return len(self._pages)

    @property
    def pages(self) -> list[Image.Image]:
        """All pages, the last one cut where it ends."""
        last = self._pages[-1].crop((0, 0, WIDTH, min(HEIGHT, self._y + MARGIN)))
        return [*self._pages[:-1], last]

    def title(self, report: Mapping[str, Any]) -> None:
        """What this is, and its numbers."""
        self._text((MARGIN, self._y), "Prepared faces", 30)
        self._y += 46
        for line in summary(report):
            self._text((MARGIN, self._y), line[0].upper() + line[1:], 17)
            self._y += 25
        for line in report["warnings"]:
            for part in _wrapped(line, WIDTH - 2 * MARGIN - 16, 15):
                self._text((MARGIN + 16, self._y), part, 15, (150, 96, 0))
                self._y += 21
        text = f"Bar: agreement with the person's other photos, from the limit {report['agreement_limit']:.2f} to 1."
        self._text((MARGIN, self._y), f"{text} Blue corner: held out.", 14, FAINT)
        self._y += 28

    def heading(self, text: str) -> None:
        """The name of a part."""
        self._room(60 + FACE)
        self._text((MARGIN, self._y + 6), text, 22)
        self._y += 40
        self._draw.line([(MARGIN, self._y), (WIDTH - MARGIN, self._y)], GREY)
        self._y += 10

    def note(self, text: str) -> None:
        """A faint line."""
        if self._room(28):
            self._text((MARGIN, self._y), text, 15, FAINT)
            self._y += 28

    def rejected(
        self, one: Outcome, people: Mapping[str, Sequence[Outcome]], sorting: Sorting
    ) -> None:
        """One rejected photograph, beside faces to compare it with."""
        if not self._room(FACE + 14):
            return
        self._face(one, MARGIN, RED)
        left = MARGIN + FACE + 14
        self._text((left, self._y), one.reason, 16, RED)
        lines = [one.photo.source, *_wrapped(one.text, 400, 14)]
        for row, line in enumerate(lines[:3]):
            colour = INK if row == 0 else FAINT
            self._text((left, self._y + 20 + 17 * row), _short(line, 400, 14), 14, colour)
        left += 430
        for name, count in ((one.photo.person, 5), (one.looks_like, 2)):
            some = [other for other in people.get(name, ()) if other.kept and name]
            if some and one.face is not None:
                for other in some[:: max(1, len(some) // count)][:count]:
                    self._face(other, left, None)
                    left += FACE + GAP
                label = _short(name, (FACE + GAP) * count, 13)
                self._text(
                    (left - (FACE + GAP) * min(count, len(some)), self._y + FACE), label, 13, FAINT
                )
                left += 16
        self._y += FACE + 22

    def person(self, name: str, kept: Sequence[Outcome], photos: int, limit: float) -> bool:
        """One person's kept faces; whether there was room."""
        if not self._room(FACE + 32):
            return False
        self._text(
            (MARGIN, self._y + 8), _short(name or "nobody in particular", LABEL - 10, 17), 17
        )
        self._text((MARGIN, self._y + 31), f"{len(kept)} of {photos}", 14, FAINT)
        values = [one.agreement for one in kept if math.isfinite(one.agreement)]
        if values:
            text = f"agree {min(values):.2f} to {max(values):.2f}"
            self._text((MARGIN, self._y + 49), text, 14, FAINT)
        shown = kept if len(kept) <= PER_ROW else kept[: PER_ROW - 1]
        for place, one in enumerate(shown):
            left = MARGIN + LABEL + place * (FACE + GAP)
            self._face(one, left, RED if one.text else None)
            self._bar(one, left, limit)
        if len(shown) < len(kept):
            left = MARGIN + LABEL + len(shown) * (FACE + GAP)
            self._text((left + 10, self._y + 24), f"+{len(kept) - len(shown)}", 17, FAINT)
        self._y += FACE + 32
        return True

    def _bar(self, one: Outcome, left: int, limit: float) -> None:
        """Agreement from the limit (empty) to 1 (full); a blue corner for what is held out."""
        below = self._y + FACE + 3
        self._draw.rectangle([left, below, left + FACE - 1, below + 3], GREY)
        if math.isfinite(one.agreement):
            share = min(1.0, max(0.0, (one.agreement - limit) / (1 - limit)))
            self._draw.rectangle([left, below, left + round(share * (FACE - 1)), below + 3], GREEN)
        self._text((left, below + 6), one.described.expression, 12, FAINT)
        if one.split == VALIDATION:
            corner = (left + FACE, self._y)
            points = [corner, (corner[0] - 16, corner[1]), (corner[0], corner[1] + 16)]
            self._draw.polygon(points, BLUE)

    def _face(self, one: Outcome, left: int, frame: tuple[int, int, int] | None) -> None:
        """The stored picture as a small square."""
        look = self._load(one)
        face = look.faces[one.face] if look and one.face is not None else None
        picture = face.picture if face and face.picture else look and look.picture
        place = (left, self._y)
        if picture:
            image = Image.open(io.BytesIO(picture.data)).convert("RGB")
            if (
                face is not None and face.picture is None
            ):  # a whole picture: show what is around its face
                image = _around(image, face.box)
            side = max(image.size)
            square = Image.new("RGB", (side, side), (236, 238, 240))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            self._pages[-1].paste(square.resize((FACE, FACE), Image.Resampling.LANCZOS), place)
        else:
            self._draw.rectangle([*place, left + FACE - 1, self._y + FACE - 1], (236, 238, 240))
            self._text((left + 24, self._y + 16), "?", 32, GREY)
        if frame:
            edges = [left - 1, self._y - 1, left + FACE, self._y + FACE]
            self._draw.rectangle(edges, outline=frame, width=3)

    def _load(self, one: Outcome) -> Any:
        """What is kept of a photograph; None of one that was not looked at."""
        return self._journal.load(one.photo) if self._journal.has(one.photo) else None

    def _room(self, height: int) -> bool:
        """Makes room, on the next page if need be; False when the last page is full."""
        if self._y + height <= HEIGHT - MARGIN:
            return True
        if len(self._pages) >= self._most:
            self.full = True
            return False
        self._next_page()
        return True

    def _next_page(self) -> None:
        self._pages.append(Image.new("RGB", (WIDTH, HEIGHT), PAPER))
        self._draw = ImageDraw.Draw(self._pages[-1])
        self._y = MARGIN

    def _text(
        self, place: tuple[int, int], text: str, size: int, colour: tuple[int, int, int] = INK
    ) -> None:
        self._draw.text(place, text, colour, _font(size))


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _short(text: str, width: int, size: int) -> str:
    """A text cut to a width in pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """A text in lines of a width in pixels."""
    lines, font = [""], _font(size)
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _around(image: Image.Image, box: Any) -> Image.Image:
    """A square of twice the face box, as far as the picture goes."""
    x0, y0, x1, y1 = (float(edge) * side for edge, side in zip(box, image.size * 2, strict=True))
    half = max(x1 - x0, y1 - y0, 8.0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    low = (round(max(0, x - half)), round(max(0, y - half)))
    high = (round(min(image.width, x + half)), round(min(image.height, y + half)))
    return image.crop((*low, *high))
