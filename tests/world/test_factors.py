"""Factors: exact, independent, and never shared between splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.world.factors import (
    SPLIT_SIZE,
    SPLITS,
    bits,
    choice,
    mix,
    person_number,
    split_of,
    unit,
    weighted,
)
from dynamicid_jax.world.identity import Identity, identity
from dynamicid_jax.world.motion import YAWS, motion
from dynamicid_jax.world.scene import draw_people, draw_scene


def test_bits_agree_with_whole_numbers_of_python() -> None:
    def slow_mix(word: int) -> int:
        word = ((word ^ word >> 16) * 0x21F0AAAD) % 2**32
        word = ((word ^ word >> 15) * 0x735A2D97) % 2**32
        return word ^ word >> 15

    words = [0, 1, 12345, 2**31, 2**32 - 1]
    assert np.asarray(mix(jnp.array(words, jnp.uint32))).tolist() == [slow_mix(w) for w in words]
    import zlib

    expected = [slow_mix(slow_mix(w) ^ zlib.crc32(b"skin")) for w in words]
    assert np.asarray(bits(jnp.array(words, jnp.uint32), "skin")).tolist() == expected


def test_fractions_are_exact_and_spread_evenly() -> None:
    drawn = np.asarray(unit(jnp.arange(20000), "skin"))
    assert np.array_equal(drawn * 2**16, np.floor(drawn * 2**16))
    assert abs(drawn.mean() - 0.5) < 0.01
    counts = np.bincount(np.asarray(choice(jnp.arange(20000), "eye_colour", 6)), minlength=6)
    assert counts.min() > 0.93 * 20000 / 6
    shares = (
        np.bincount(np.asarray(weighted(jnp.arange(20000), "beard", (3, 1))), minlength=2) / 20000
    )
    assert abs(shares - [0.75, 0.25]).max() < 0.02


def test_factors_of_people_are_independent() -> None:
    n = 4000
    who = jax.jit(identity)(person_number("train", jnp.arange(n)))
    table = np.stack([np.asarray(leaf, np.float64) for leaf in who[1:]], 1)
    correlation = np.corrcoef(table, rowvar=False)
    np.fill_diagonal(correlation, 0)
    assert abs(correlation).max() < 5 / np.sqrt(n)
    neighbours = np.array([np.corrcoef(column[:-1], column[1:])[0, 1] for column in table.T])
    assert abs(neighbours).max() < 5 / np.sqrt(n)


def test_identity_and_motion_do_not_know_of_each_other() -> None:
    scenes = jax.jit(lambda seed: draw_scene(seed, "train", people=2**20, places=1, weights=(1,)))(
        jnp.arange(4000)
    )
    who = np.stack([np.asarray(leaf[:, 0], np.float64) for leaf in scenes.who[1:]])
    rest = [
        scenes.background,
        scenes.light,
        *(leaf[:, 0] for leaf in scenes.move),
        scenes.shirt[:, 0],
        scenes.x[:, 0],
    ]
    table = np.concatenate([who, np.stack([np.asarray(one, np.float64) for one in rest])])
    both = abs(np.corrcoef(table)[: len(who), len(who) :])
    assert both.max() < 5 / np.sqrt(4000)


def test_compiled_and_not_compiled_give_the_same_bits() -> None:
    seed = jnp.arange(64)
    plain, compiled = motion(seed), jax.jit(motion)(seed)
    for one, other in zip(plain, compiled, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(np.asarray(plain.yaw) * 256, np.round(np.asarray(plain.yaw) * 256))
    middles = np.asarray(YAWS)[np.asarray(plain.pose)]
    assert abs(np.asarray(plain.yaw) - middles).max() <= 4


def test_golden_person() -> None:
    """The same people for ever: datasets and trained weights refer to them by number."""
    who = identity(person_number("demo", jnp.array(0)))
    first = [int(who.hair_style), int(who.hair_colour), int(who.skin * 2**16), int(who.beard)]
    assert first == [2, 3, 19735, 0]


@pytest.mark.parametrize("split", SPLITS)
def test_splits_share_nobody(split: str) -> None:
    seeds = jnp.arange(3000) * 7919 - 1_000_000
    people = np.asarray(draw_people(seeds, split, SPLIT_SIZE, 3))
    assert (np.asarray(split_of(jnp.asarray(people))) == SPLITS.index(split)).all()
    low = SPLITS.index(split) * SPLIT_SIZE
    assert people.min() >= low
    assert people.max() < low + SPLIT_SIZE
    few = np.asarray(draw_people(seeds, split, 3, 3)) - low
    assert (np.sort(few, 1) == np.arange(3)).all()  # all different, and only the first three


def test_a_wrong_split_is_named() -> None:
    with pytest.raises(InputError, match="'test': expected one of train, judge, eval, demo"):
        person_number("test", jnp.array(0))


def test_identity_has_about_twenty_factors() -> None:
    assert len(Identity._fields) > 20
