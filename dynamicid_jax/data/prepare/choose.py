"""Which face of every photograph belongs to its person, by how well faces agree.

With e the L2-normalised embedding of a face and C(p) the normalised mean of person p's faces that were chosen:

    identity     the face that agrees best with the best faces of p's other photos (a medoid) starts C(p); then every
                 photo gives the face nearest to C(p), and C(p) is the mean of those that lie with the bulk, until
                 nothing changes
    agreement    a = cos(e, C(p) without e): leave one out, so that no face speaks for itself
    strangers    s = cos(e, C(q)) for all other people q
    limit        L = 0.995-quantile(s) + 0.05, drawn towards 0.30 as 500 comparisons would, within [0.2, 0.5]

A photograph is rejected as another person's where

    1. another person's C(q) is nearer than the person's own: s > a, and s > L;
    2. a < L: it agrees no better than strangers do;
    3. a < (median(a) + mean(s)) / 2 and a < median(a) - 5 max(spread, 0.05): far outside the person's own spread (the
       deviation that the median absolute deviation stands for), in the strangers' half.

The rounds are repeated without the rejected. Measured on 400 photographs of 23 x 28 pixels (40 people, same person
0.09 to 0.99, different people up to 0.46): see docs/DATA.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

Embeddings = Float[np.ndarray, "k e"]

USUAL_LIMIT = (
    0.30  # where there are no strangers to measure: ArcFace-like recognisers stay below it
)
USUAL_STRANGERS = 0.03  # their mean
USUAL_WEIGHT = 500.0
LIMITS = (0.2, 0.5)
MARGIN = 0.05
SPREAD_FLOOR = 0.05
SPREADS = 5.0
HYPOTHESES = 256  # faces that may start an identity, of people with more
ROUNDS = 6
SAME_MARGIN = 0.05  # two folders whose faces agree as well with the other's mean hold one person


@dataclass(frozen=True, eq=False)
class Candidates:
    """The faces found in one photograph.

    Attributes:
        key: the photograph's.
        embeddings: one row per face.
        areas: of the boxes in pixels.
    """

    key: str
    embeddings: Embeddings
    areas: Float[np.ndarray, "k"]


@dataclass(frozen=True)
class Choice:
    """The face taken from one photograph.

    Attributes:
        face: its place among the candidates.
        agreement: leave-one-out cosine; nan where nothing was there to compare with.
        looks_like: another person whose faces are nearer; "" for none.
        text: why the face does not belong to the person; "" if it does.
    """

    face: int
    agreement: float
    looks_like: str = ""
    text: str = ""


@dataclass
class Chosen:
    """The choices for all photographs.

    Attributes:
        by_key: choice by photograph.
        limit: L.
        same: pairs of folders that seem to hold the same person.
    """

    by_key: dict[str, Choice] = field(default_factory=dict)
    limit: float = USUAL_LIMIT
    same: list[tuple[str, str]] = field(default_factory=list)


def choose_faces(people: Mapping[str, Sequence[Candidates]], limit: float | None = None) -> Chosen:
    """Chooses one face per photograph, and says which do not belong to their person.

    Args:
        people: photographs with at least one face, by person.
        limit: L, where it is not to be measured.
    """
    names = [name for name, photos in people.items() if photos]
    result = Chosen(limit=USUAL_LIMIT if limit is None else limit)
    if not names:
        return result
    groups = [_Group(name, people[name]) for name in names]
    for _ in range(ROUNDS):
        strangers = _Strangers(groups)
        result.same = strangers.same
        result.limit = strangers.limit() if limit is None else limit
        changed = [group.judge(result.limit, strangers.mean, strangers) for group in groups]
        if not any(changed):
            break
    for group in groups:
        result.by_key.update(group.choices(result.limit))
    return result


class _Group:
    """One person's photographs while they are being sorted out."""

    def __init__(self, name: str, photos: Sequence[Candidates]) -> None:
        self.name, self.photos = name, photos
        self.rejected: dict[int, tuple[str, str]] = {}
        self.picks = _identity(photos)
        self._update()

    def _update(self) -> None:
        """Mean and agreements, from the picks that are not rejected."""
        self.faces = np.stack(
            [photo.embeddings[pick] for photo, pick in zip(self.photos, self.picks, strict=True)]
        ).astype(np.float64)
        kept = np.array([place not in self.rejected for place in range(len(self.picks))])
        if not kept.any():
            kept = np.ones_like(kept)
        member = np.zeros(len(kept), bool)
        member[np.flatnonzero(kept)[_bulk(self.faces[kept])]] = True
        total = self.faces[member].sum(0)
        self.mean = _unit(total)
        without = total[None] - self.faces * member[:, None]
        length = np.linalg.norm(without, axis=1)
        cosine = (self.faces * without).sum(1) / np.maximum(length, 1e-12)
        self.agreement = np.where(length > 1e-6, cosine, np.nan)

    def judge(self, limit: float, stranger: float, strangers: "_Strangers") -> bool:
        """Rejects by the three rules; whether anything changed."""
        before = self.rejected
        near, nearest = strangers.nearest(self)
        own = np.where(np.isnan(self.agreement), np.inf, self.agreement)
        sound = own[[place for place in range(len(own)) if place not in before]]
        low = _own_limit(sound[np.isfinite(sound)], stranger)
        self.rejected = {}
        for place in np.flatnonzero(near > np.maximum(own, limit)).tolist():
            text = f"looks like {nearest[place]} (agreement {near[place]:.2f}"
            text += f", with {self.name} {own[place]:.2f})" if np.isfinite(own[place]) else ")"
            self.rejected[place] = (nearest[place], text)
        # Where these are new, the others are judged in the next round, when they are out of the mean.
        if set(self.rejected) <= set(before):
            for place in np.flatnonzero(own < max(limit, low)).tolist():
                self.rejected.setdefault(place, ("", self._stranger(own, place, limit)))
        changed = set(self.rejected) != set(before)
        if changed:
            self._pick_again()
        return changed

    def _stranger(self, own: Float[np.ndarray, "k"], place: int, limit: float) -> str:
        """Why a face that looks like nobody else here is rejected."""
        agreement = own[place]
        if agreement >= limit:
            usual = np.median(own[np.isfinite(own)])
            return f"agreement {agreement:.2f} is far below this person's usual {usual:.2f}"
        if len(self.photos) == 2:
            return f"the two photos show different faces (agreement {agreement:.2f}, limit {limit:.2f})"
        return f"agreement with {self.name} {agreement:.2f}, limit {limit:.2f}"

    def _pick_again(self) -> None:
        """The nearest face of every photo, now that the mean has changed."""
        self._update()
        self.picks = [int((photo.embeddings @ self.mean).argmax()) for photo in self.photos]
        self._update()

    def choices(self, limit: float) -> Iterator[tuple[str, Choice]]:
        """What came of it."""
        for place, (photo, pick) in enumerate(zip(self.photos, self.picks, strict=True)):
            looks_like, text = self.rejected.get(place, ("", ""))
            yield photo.key, Choice(pick, float(self.agreement[place]), looks_like, text)


class _Strangers:
    """How faces compare with the means of other people."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        self._names = [group.name for group in groups]
        self._means = np.stack([group.mean for group in groups])
        self._place = {name: place for place, name in enumerate(self._names)}
        self._same: dict[int, set[int]] = {}
        self.same = list(self._same_people(groups))
        self._values = self._sample(groups)
        self.mean = float(self._values.mean()) if len(self._values) else USUAL_STRANGERS

    def _cosines(self, group: _Group) -> Float[np.ndarray, "k p"]:
        """Of a person's picks with every mean; -1 for the person's own and for doubles of it."""
        cosine = group.faces @ self._means.T
        own = self._place[group.name]
        cosine[:, [own, *self._same.get(own, ())]] = -1.0
        return cosine

    def nearest(self, group: _Group) -> tuple[Float[np.ndarray, "k"], list[str]]:
        """For every pick: the best agreement with another person, and who that is."""
        cosine = self._cosines(group)
        best = cosine.argmax(1)
        return cosine[np.arange(len(best)), best], [self._names[place] for place in best]

    def _same_people(self, groups: Sequence[_Group]) -> Iterator[tuple[str, str]]:
        """Pairs of folders, the faces of either of which agree as well with the other's mean."""
        close = [self._closest(group) for group in groups]
        for one, others in enumerate(close):
            for other in sorted(others):
                if other > one and one in close[other]:
                    self._same.setdefault(one, set()).add(other)
                    self._same.setdefault(other, set()).add(one)
                    yield self._names[one], self._names[other]

    def _closest(self, group: _Group) -> set[int]:
        own = np.nan_to_num(group.agreement, nan=USUAL_LIMIT)
        sound = [place for place in range(len(own)) if place not in group.rejected] or range(
            len(own)
        )
        cosine = self._cosines(group)[list(sound)]
        typical = np.median(cosine - own[list(sound)][:, None], axis=0)
        near = typical > -SAME_MARGIN
        near &= np.median(cosine, axis=0) > LIMITS[1]
        return {int(place) for place in np.flatnonzero(near)}

    def _sample(self, groups: Sequence[_Group], most: int = 1_000_000) -> Float[np.ndarray, "n"]:
        """Cosines of faces with other people's means; the nearest's only where its own is nearer."""
        rows = max(1, most // len(self._names))
        step = max(1, sum(len(group.picks) for group in groups) // rows)
        found, seen = [], 0
        for group in groups:
            cosine = self._cosines(group)
            own = np.nan_to_num(group.agreement, nan=1.0)
            take = (np.arange(len(own)) + seen) % step == 0
            take &= cosine.max(1) < own  # else perhaps that other person: no stranger
            seen += len(own)
            chosen = cosine[take]
            found.append(chosen[chosen > -1.0])
        return np.concatenate(found)

    def limit(self) -> float:
        """L."""
        count = len(self._values)
        if not count:
            return USUAL_LIMIT
        measured = float(np.quantile(self._values, 0.995)) + MARGIN
        drawn = (count * measured + USUAL_WEIGHT * USUAL_LIMIT) / (count + USUAL_WEIGHT)
        return float(np.clip(drawn, *LIMITS))


def _identity(photos: Sequence[Candidates]) -> list[int]:
    """The face of every photo that shows the person whom most photos show."""
    if len(photos) == 1:
        return [int(photos[0].areas.argmax())]
    starts = np.concatenate([photo.embeddings for photo in photos])
    sizes = np.concatenate([photo.areas / photo.areas.max() for photo in photos])
    of_photo = np.repeat(np.arange(len(photos)), [len(photo.areas) for photo in photos])
    if len(starts) > HYPOTHESES:
        some = np.linspace(0, len(starts) - 1, HYPOTHESES).astype(int)
        starts, sizes, of_photo = starts[some], sizes[some], of_photo[some]
    best = np.stack([(starts @ photo.embeddings.T).max(1) for photo in photos], axis=1)
    best[np.arange(len(starts)), of_photo] = 0.0
    score = (
        best.sum(1) / (len(photos) - 1) + 0.01 * sizes
    )  # of two who are always together, the larger
    mean = starts[int(score.argmax())].astype(np.float64)
    picks: list[int] = []
    for _ in range(10):
        now = [int((photo.embeddings @ mean).argmax()) for photo in photos]
        if now == picks:
            break
        picks = now
        faces = np.stack(
            [photo.embeddings[pick] for photo, pick in zip(photos, picks, strict=True)]
        )
        near = faces @ mean
        mean = _unit(faces[near >= _tail(near)].astype(np.float64).sum(0))
    return picks


def _bulk(faces: Float[np.ndarray, "k e"]) -> np.ndarray:
    """Places of the faces that lie with the others; all where there are one or two."""
    if len(faces) < 3:
        return np.arange(len(faces))
    medoid = (faces @ faces.T).mean(1).argmax() if len(faces) <= 1000 else 0
    near = faces @ _unit(faces.sum(0) + len(faces) * faces[medoid])
    return np.flatnonzero(near >= _tail(near))


def _tail(near: Float[np.ndarray, "k"]) -> float:
    """Where the lower tail begins: three spreads below the median."""
    return float(np.median(near)) - 3 * max(_spread(near), SPREAD_FLOOR)


def _spread(values: Float[np.ndarray, "k"]) -> float:
    """The normal deviation that the median absolute deviation stands for."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _own_limit(agreement: Float[np.ndarray, "k"], stranger: float) -> float:
    """Rule 3's limit; -1 for people of fewer than six photos, who have no spread to speak of."""
    if len(agreement) < 6:
        return -1.0
    usual = float(np.median(agreement))
    outside = usual - SPREADS * max(_spread(agreement), SPREAD_FLOOR)
    return min(outside, (usual + stranger) / 2)


def _unit(vector: Float[np.ndarray, "e"]) -> Float[np.ndarray, "e"]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
