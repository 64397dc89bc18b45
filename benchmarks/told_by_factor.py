"""What a model's face tokens and words tell of a person, factor by factor.

    python benchmarks/told_by_factor.py                       # the packaged mini model
    python benchmarks/told_by_factor.py --model RUN/model --pictures 128

Every picture is drawn twice, the second time with one factor of somebody else (or several, or another expression).
Both are asked of one noisy picture ((10) of diffusion/losses.py): `told` is the share of the difference that the
predictions show (1: all; 0: none; less: something else), `size` what there is to tell (a squared mean in faces),
`tokens` the face tokens' squared difference over twice their variance between people. People are of the evaluation's
split. What the recogniser makes of the second drawing: its `cosine` to the first, and how often the first is the
nearest (`rank-1`) or among the five nearest (`top-5`) of all: in the rows of all but a few factors, what a model can
reach that tells those few, and exactly.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dynamicid_jax.config import DataConfig, LogConfig, SourceConfig, TrainConfig
from dynamicid_jax.diffusion import losses
from dynamicid_jax.evaluation.metrics import rank
from dynamicid_jax.training import examples, setup
from dynamicid_jax.training.state import join
from dynamicid_jax.world.identity import Identity
from dynamicid_jax.world.scene import Scene
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.twins import in_other_expressions

FACTORS = Identity._fields[1:]
_COLOURS = ("skin", "undertone", "hair_colour", "hair_tone")
_HAIR = (*_COLOURS, "hair_style", "parting")
_KEPT = {
    "all but colours of skin and hair": _COLOURS,
    "all but skin and hair": _HAIR,
    "all but skin, hair, beard": (*_HAIR, "beard"),
    "all but skin, hair, beard, glasses": (*_HAIR, "beard", "glasses", "frame_colour"),
    "all": (),
}
CHANGES: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in FACTORS},
    "expression": (),
    **{title: tuple(one for one in FACTORS if one not in kept) for title, kept in _KEPT.items()},
}
"""Row of the table: the factors that the second drawing has of somebody else."""
_OTHERS = np.array([[name in changed for name in FACTORS] for changed in CHANGES.values()])
_EXPRESSION = list(CHANGES).index("expression")
STRIDE = 1 << 20


@dataclass(frozen=True)
class Apart(Source):
    """Picture `i + STRIDE * (1 + c)` is picture i with change c, taken from the next person."""

    def scenes(self, index: Array) -> Scene:
        """The factors of pictures."""
        first, change = index % STRIDE, index // STRIDE - 1
        own, other = (super(Apart, self).scenes(one) for one in (first, first + 1))
        others = jnp.asarray(_OTHERS)[change] & (change >= 0)[:, None]
        who = {
            name: jnp.where(
                others[:, place, None], getattr(other.who, name), getattr(own.who, name)
            )
            for place, name in enumerate(FACTORS)
        }
        turned = in_other_expressions(own).move.expression
        expression = jnp.where((change == _EXPRESSION)[:, None], turned, own.move.expression)
        return own._replace(
            who=own.who._replace(**who), move=own.move._replace(expression=expression)
        )


def prepared(model: str, pictures: int, side: int) -> Any:
    """The model with batches of all that anchoring reads."""
    config = TrainConfig(
        stage="anchoring",
        base=model,
        batch_size=pictures,
        dtype="float32",
        data=DataConfig(
            (SourceConfig("world/portraits", split="eval"),),
            image_size=side,
            workers=0,
            face_nets="mini",
        ),
        log=LogConfig(heldout_every=0, pictures_every=0, tensorboard=False),
    )
    ready = setup.set_up(config)
    ready.loader.source = Apart(**vars(ready.loader.source))
    return ready


def compared(
    networks: Any, timestep: int, weights: Any, constants: Any, own: Any, other: Any
) -> Array:
    """What is left untold and what there is to tell, summed over a batch, and the tokens' share of their variance."""
    count = own["pixels"].shape[0]
    key, nobody = jax.random.key(0), jnp.zeros((count,), bool)
    clean, second = (examples.latents(networks, weights, one, key) for one in (own, other))
    text, words = (
        examples.text_states(networks, weights, one, constants, nobody) for one in (own, other)
    )
    tokens, faces = (
        examples.face_tokens(networks, weights, one, constants, nobody) for one in (own, other)
    )
    inside = losses.inside_boxes(own["face_box"].reshape(count, -1, 4)[:, 0], *clean.shape[1:3])
    inside = inside / inside.mean((1, 2), keepdims=True)
    noise = losses.Noise(jnp.full((count,), timestep), jax.random.normal(key, clean.shape))
    seen = losses.denoising_rows(networks, weights, clean, noise, text, tokens[:, None]).prediction
    left, whole = losses.twin_rows(
        networks, weights, (clean, second), noise, seen, words, faces[:, None], inside
    )
    apart = jnp.square(tokens - faces).mean() / (2 * tokens.var(0).mean())
    return jnp.stack([left.sum(), whole.sum(), apart])


def recognised(own: Any, other: Any) -> list[float]:
    """Mean cosine of the second drawings to their first, rank-1 and top-5 of the first among all."""
    first, second = (np.asarray(one["id_embedding"]) for one in (own, other))
    places = np.array([rank(embedding, first, who) for who, embedding in enumerate(second)])
    cosine = float((first * second).sum(-1).mean())
    return [cosine, float((places == 1).mean()), float((places <= 5).mean())]


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="mini", help="a model folder or a packaged model's name")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--timestep", type=int, default=500, help="of 1000: how noisy")
    parser.add_argument(
        "--size", type=int, default=96, help="side of the pictures, as the model was trained on"
    )
    args = parser.parse_args()
    ready = prepared(args.model, args.pictures, args.size)
    state = ready.fresh_state()
    weights = join(ready.frozen["weights"], state.trained, state.stats)
    compare = jax.jit(partial(compared, ready.program.networks, args.timestep))
    numbers = np.arange(args.pictures)
    own = ready.loader.pictures(numbers.tolist())
    print("| factor | size | told | tokens | cosine | rank-1 | top-5 |" + "\n|" + " --- |" * 7)
    for place, name in enumerate(CHANGES):
        other = ready.loader.pictures((numbers + STRIDE * (1 + place)).tolist())
        left, whole, apart = compare(weights, ready.frozen["constants"], own, other).tolist()
        figures = [whole / args.pictures, 1 - left / whole, apart, *recognised(own, other)]
        cells = (
            f"{one:.{digits}f}" for one, digits in zip(figures, (5, 3, 4, 3, 2, 2), strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    ready.loader.close()


if __name__ == "__main__":
    sys.exit(main())
