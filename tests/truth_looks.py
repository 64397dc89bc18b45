"""Judges that know the truth: pictures are the drawn ones, and every face is read as it is."""

import numpy as np

from dynamicid_jax.evaluation.colours import fit_colours
from dynamicid_jax.evaluation.contents import draw
from dynamicid_jax.evaluation.evidence import Evidence, Known, Seen
from dynamicid_jax.evaluation.looks import Face
from dynamicid_jax.evaluation.shots import block_of

SIZE = 64
CELL = 8  # pixels of a latent cell


def identity(person):
    """A direction of one's own in 64 dimensions."""
    raw = np.random.default_rng([7, person]).normal(size=64)
    return (raw / np.linalg.norm(raw)).astype(np.float32)


def gallery(start):
    return np.stack([identity(person) for person in block_of(start)])


def look(content, drawn):
    """All faces of a drawn picture, as they are."""
    people = zip(content.people, content.expressions, content.poses, strict=True)
    return [
        Face(drawn.truth.box[place], identity(who), expression, pose)
        for place, (who, expression, pose) in enumerate(people)
    ]


def truth_evidence(shots, colours):
    """What a perfect model would make of the shots."""
    contents = [shot.shows for shot in shots]
    rows = zip(shots, contents, draw(contents, SIZE), strict=True)
    return Evidence(
        [
            Seen(shot, drawn.pixels, look(content, drawn), _gates(drawn))
            for shot, content, drawn in rows
        ],
        known(colours),
    )


def known(colours):
    """Judges who know everybody from a photo as from the gallery."""
    return Known(
        gallery,
        lambda: colours,
        CELL,
        photo=lambda photo: identity(photo.people[0]),
        targets=lambda shot: [identity(who) for who in shot.shows.people],
    )


def _gates(drawn):
    """Open in the first face alone, on two maps."""
    maps = {}
    for name, side in (("down_blocks_0.attentions_0", 16), ("up_blocks_1.attentions_0", 8)):
        places = (np.arange(side) + 0.5) / side
        x0, y0, x1, y1 = drawn.truth.box[0]
        rows, columns = (places > y0) & (places < y1), (places > x0) & (places < x1)
        maps[name] = (rows[:, None] & columns[None]).astype(np.float32)
    return maps


def colours():
    """Fitted on fewer pictures than in earnest."""
    return fit_colours(SIZE, pictures=100)
