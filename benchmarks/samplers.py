"""What 20 steps of DPM-Solver++ cost against 50 of DDIM, in likeness: paired differences of FaceSim on the mini suite.

    python benchmarks/samplers.py --people 30 --out samplers

Draws the suite's pictures of one person twice, from the same noise, with the packaged model, and has the judges compare
each with the person's picture in the gallery. Pictures without a face count as 0 in both. Prints the two means and the
mean of the paired differences with its 95 % interval (bootstrap over people), which should lie inside 0.02. A second
run draws and looks at nothing again; about 10 s of one CPU core per person.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.cli.console import use_compilation_cache
from dynamicid_jax.convert.load import own_face_pack
from dynamicid_jax.evaluation.contents import draw, portrait
from dynamicid_jax.evaluation.estimates import Values, estimate, mean
from dynamicid_jax.evaluation.evidence import Seen
from dynamicid_jax.evaluation.judging import GALLERY_SIZE, LOOKS, gallery_rows, look_at
from dynamicid_jax.evaluation.looks import JudgeLooker, KeptLooks
from dynamicid_jax.evaluation.metrics import face_sim
from dynamicid_jax.evaluation.mini_series import SERIES
from dynamicid_jax.evaluation.run import Evaluation
from dynamicid_jax.evaluation.runs import Settings
from dynamicid_jax.evaluation.sampling import sample

WAYS = {"DDIM, 50 steps": ("ddim", 50), "DPM-Solver++, 20 steps": ("dpmpp_2m", 20)}
LIMIT = 0.02


def main() -> int:
    """Prints a Markdown table; 1 where the interval leaves +-LIMIT."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    use_compilation_cache()
    pack = own_face_pack(args.model)
    if pack is None:
        raise SystemExit(f"{args.model}: expected a model with a face pack and judges of its own")
    pipe = DynamicIDPipeline.from_pretrained(args.model, face_pack=pack)
    shots = [shot for person in range(args.people) for shot in SERIES["one"](person)]
    judges = Evaluation(args.model, args.out, "mini").opened
    likeness: dict[str, Values] = {}
    for name, (sampler, steps) in WAYS.items():
        folder = args.out / sampler
        settings = Settings(steps=steps, sampler=sampler)
        sample(pipe, shots, folder, settings, batch=args.batch, tell=_teller(name))
        kept = KeptLooks(JudgeLooker(judges), folder / LOOKS, judges.fingerprint)
        likeness[name] = similarities(
            look_at(folder, shots, kept, _teller(f"{name}, judged")), kept
        )
    print(
        f"{args.people} people, {args.model} model\n\n| sampler | FaceSim | 95 % interval |\n|---|---|---|"
    )
    for name, values in likeness.items():
        found = mean(values)
        print(f"| {name} | {found.value:.3f} | {found.low:.3f} to {found.high:.3f} |")
    slow, fast = likeness.values()
    found = estimate(lambda one, other: one - other, fast, slow)
    print(f"| paired difference | {found.value:+.4f} | {found.low:+.4f} to {found.high:+.4f} |")
    return int(max(-found.low, found.high) > LIMIT)


def similarities(seen: list[Seen], looker: KeptLooks) -> Values:
    """(person, FaceSim to their picture in the gallery); 0 where no face is found."""
    people = [one.shot.shows.people[0] for one in seen]
    portraits = draw([portrait(person, person) for person in people], GALLERY_SIZE)
    known = gallery_rows(looker([one.pixels for one in portraits]))
    return [
        (person, 0.0 if one.face is None else face_sim(one.face.embedding, row))
        for person, one, row in zip(people, seen, known, strict=True)
    ]


def _teller(what: str) -> Callable[[int, int], None]:
    """Progress on stderr."""

    def tell(done: int, total: int) -> None:
        print(f"samplers: {what}, {done} of {total}", file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    raise SystemExit(main())
