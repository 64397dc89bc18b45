"""Programs compiled once for all tests of the world."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.world.captions import phrase_ids
from dynamicid_jax.world.factors import person_number
from dynamicid_jax.world.motion import CELLS, POSES, motion
from dynamicid_jax.world.render import WHOLE, render_many
from dynamicid_jax.world.scene import scene
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.truth import raster, truth

PEOPLE = 6


@pytest.fixture(scope="session")
def cells() -> Any:
    """Six people in the 35 calm cells, level, then up and down: truth with axes [6, 37]."""

    def of(place: jax.Array) -> Any:
        cell = jnp.concatenate([jnp.arange(CELLS), jnp.array([32, 32])])[:, None]
        facing = jnp.zeros_like(cell).at[CELLS:, 0].set(jnp.array([1, 2]))
        seed = jnp.full((CELLS + 2,), 7)
        move = motion(seed[:, None], cell // len(POSES), cell % len(POSES), facing, calm=True)
        person = jnp.broadcast_to(person_number("eval", place), cell.shape)
        return jax.vmap(truth)(scene(seed, person, jnp.ones_like(seed), move))

    found = jax.jit(jax.vmap(of))(jnp.arange(PEOPLE))
    return jax.tree.map(np.asarray, found)


@pytest.fixture(scope="session")
def source() -> Source:
    return Source("world/scenes", "eval", people=1000, size=32)


@pytest.fixture(scope="session")
def painter() -> Any:
    """Eight scenes through eight views, 32 pixels wide: the one program of renders of three places."""
    return jax.jit(lambda scenes, views: render_many(scenes, 32, views))


@pytest.fixture(scope="session")
def batch(source: Source, painter: Any) -> dict[str, Any]:
    """Eight pictures of one to three people, with everything known about them."""

    def known(index: jax.Array) -> dict[str, Any]:
        scenes = source.scenes(index)
        found = jax.vmap(truth)(scenes)
        return {
            "scene": scenes,
            "truth": found,
            "phrases": jax.vmap(phrase_ids)(scenes),
            "raster": jax.vmap(raster)(found.landmarks[:, 0]),
        }

    made = jax.jit(known)(jnp.arange(8))
    whole = jnp.broadcast_to(jnp.asarray(WHOLE)[None], (8, 2, 3))
    return jax.tree.map(np.asarray, {**made, "pixels": painter(made["scene"], whole)})
