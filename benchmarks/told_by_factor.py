"""What a model's face tokens and words tell of a person, factor by factor.

    python benchmarks/told_by_factor.py                       # the packaged mini model
    python benchmarks/told_by_factor.py --model RUN/model --pictures 128

Every picture is drawn twice, the second time with one factor of somebody else, or with another expression. Both are
asked of one noisy picture ((10) of diffusion/losses.py): `told` is the share of the difference that the predictions
show (1: all; 0: none; less: something else), `size` what there is to tell (a squared mean in faces), `tokens` the face
tokens' squared difference over twice their variance between people. People are of the evaluation's split.
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
from dynamicid_jax.training import examples, setup
from dynamicid_jax.training.state import join
from dynamicid_jax.world.identity import Identity
from dynamicid_jax.world.scene import Scene
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.twins import in_other_expressions

FACTORS = Identity._fields[1:]
EXPRESSION = len(FACTORS)
STRIDE = 1 << 20


@dataclass(frozen=True)
class OneFactorApart(Source):
    """Picture `i + STRIDE * (1 + f)` is picture i with factor f of the next person, or in another expression."""

    def scenes(self, index: Array) -> Scene:
        """The factors of pictures."""
        first, factor = index % STRIDE, index // STRIDE - 1
        own, other = (super(OneFactorApart, self).scenes(one) for one in (first, first + 1))
        who = {
            name: jnp.where(
                (factor == place)[:, None], getattr(other.who, name), getattr(own.who, name)
            )
            for place, name in enumerate(FACTORS)
        }
        turned = in_other_expressions(own).move.expression
        expression = jnp.where((factor == EXPRESSION)[:, None], turned, own.move.expression)
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
    ready.loader.source = OneFactorApart(**vars(ready.loader.source))
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
    print("| factor | size | told | tokens |\n| --- | --- | --- | --- |")
    for place, name in enumerate((*FACTORS, "expression")):
        other = ready.loader.pictures((numbers + STRIDE * (1 + place)).tolist())
        left, whole, apart = compare(weights, ready.frozen["constants"], own, other).tolist()
        print(
            f"| {name} | {whole / args.pictures:.5f} | {1 - left / whole:.3f} | {apart:.4f} |",
            flush=True,
        )
    ready.loader.close()


if __name__ == "__main__":
    sys.exit(main())
