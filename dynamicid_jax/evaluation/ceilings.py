"""How good a suite's judges are on what is known for sure: on made-up people, or on photographs with names.

made-up people    the shares of face_pack.py: faces found, rank-1, expression, pose, on people nobody trained on
photographs       faces found; and for the judge recogniser and for the pack's, over all pairs of found photos,

                  AUC = P(cos of the same person > cos of two people) + P(equal) / 2

DIR/judges.json and DIR/judges.md hold what was found. Expressions and poses of photographs are not known, so those
judges are not measured on them. What cannot be taken (an AUC of one photo) is null, and "-" in the table.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from dynamicid_jax.evaluation.casts import Photographed
from dynamicid_jax.evaluation.face_pack import Share, measure_pack
from dynamicid_jax.evaluation.judges import Judges
from dynamicid_jax.evaluation.metrics import auc
from dynamicid_jax.evaluation.report import plain, write_text
from dynamicid_jax.evaluation.run import Evaluation
from dynamicid_jax.evaluation.runs import make_folder
from dynamicid_jax.files import save_json
from dynamicid_jax.images import load_rgb

PEOPLE = 100  # made-up ones, unless --people says otherwise
HEAD = ("judge", "measured", "95 % interval")


def measure_judges(evaluation: Evaluation) -> str:
    """Measures the judges of an evaluation, writes judges.json and judges.md, and returns the table.

    Raises:
        InputError, MissingPartError, WeightsError: no photos, or a missing, wrong or damaged judge.
        OutputError: they cannot be written.
    """
    judges, cast = evaluation.opened, evaluation.cast
    make_folder(evaluation.out)
    if isinstance(cast, Photographed):
        photos = {name: cast.photos[name] for name in (cast.names[n] for n in evaluation.who)}
        values, rows = on_photos(judges, photos, lambda *at: evaluation.tell("photos", *at))
    else:
        people = evaluation.people or PEOPLE
        report = measure_pack(judges, people=people, probes=2, scenes=people, say=evaluation.note)
        values, rows = report.to_json(), report.rows()
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    made = plain({"judges": judges.hashes, "measured": values})
    save_json(made, evaluation.out / "judges.json")
    write_text(evaluation.out / "judges.md", text)
    return text


def on_photos(
    judges: Judges,
    photos: dict[str, tuple[str, ...]],
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Faces found, and how well recognisers tell people, on photos by person.

    Returns:
        Plain values, and rows for a table.
    """
    whose, found = [], []
    everything = [(name, path) for name, some in photos.items() for path in some]
    for done, (name, path) in enumerate(everything, 1):
        picture = load_rgb(path)
        faces = judges.pack.detect(picture)
        tell(done, len(everything))
        if faces:
            face = max(faces, key=lambda one: float(np.prod(one.box[2:] - one.box[:2])))
            own = judges.pack.record(picture, face).embedding
            found.append((judges.embedding(picture, face), own))
            whose.append(name)
    share = Share(len(found), len(everything))
    rows = [(f"faces found ({share.total})", *share.words())]
    values: dict[str, Any] = {"found": {"value": share.value, "total": share.total}}
    recognisers = {
        "judge": judges.judges.recogniser.file,
        "pack": judges.pack.files["recognition"],
    }
    for (name, file), embeddings in zip(
        recognisers.items(), zip(*found, strict=True), strict=False
    ):
        value, same, apart = verification(embeddings, whose)
        values[f"{name}_auc"] = {"file": file, "value": value, "same": same, "different": apart}
        pairs = f"{same} pairs of one person, {apart} of two"
        rows.append(
            (
                f"AUC of the {name}'s recogniser, {file} ({pairs})",
                "-" if math.isnan(value) else f"{value:.5f}",
                "",
            )
        )
    return values, rows


def verification(
    embeddings: Sequence[Float[np.ndarray, "e"]], whose: Sequence[str]
) -> tuple[float, int, int]:
    """AUC over all pairs, and how many pairs are of one person and of two."""
    rows = np.stack(list(embeddings))
    alike = rows @ rows.T
    names = np.array(whose)
    same = names[:, None] == names[None]
    upper = np.triu(np.ones(same.shape, bool), 1)
    count = int(same[upper].sum())
    return auc(alike[upper], same[upper]), count, int(upper.sum()) - count
