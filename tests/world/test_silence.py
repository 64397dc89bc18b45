"""Captions that leave something out, lone people who stand further off, and crops that end where the picture ends."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.world.captions import caption, hushed, phrase_ids
from dynamicid_jax.world.faces import framed
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.truth import truth

MANY = 400


@pytest.fixture(scope="module")
def scenes():
    source = Source("world/scenes")
    return jax.jit(source.scenes)(jnp.arange(MANY))


@pytest.fixture(scope="module")
def lone():
    return jax.jit(Source("world/portraits").scenes)(jnp.arange(MANY))


@partial(jax.jit, static_argnums=1)
def silent(scenes, share):
    return jax.vmap(lambda one: hushed(phrase_ids(one), one.seed, share))(scenes)


def test_nothing_or_everything_but_counts_and_places_is_left_out(scenes):
    whole = np.asarray(jax.jit(jax.vmap(phrase_ids))(scenes))
    np.testing.assert_array_equal(silent(scenes, 0.0), whole)
    for ids, full in zip(np.asarray(silent(scenes, 1.0)), whole, strict=True):
        text, said = caption(ids), caption(full)
        assert not any(word in text for word in ("shirt", "expression", "view", "facing", "before"))
        assert text.split(",")[0] == said.split(",")[0].split(" in a")[0]
        assert text.count("on the") == said.count("on the")


def test_phrases_are_left_out_as_often_as_asked_and_poses_as_a_whole(scenes):
    texts = [caption(ids) for ids in np.asarray(silent(scenes, 0.3))]
    full = [caption(ids) for ids in np.asarray(jax.jit(jax.vmap(phrase_ids))(scenes))]
    for word in ("shirt", "expression", "view", "before"):
        kept = sum(text.count(word) for text in texts) / sum(text.count(word) for text in full)
        assert kept == pytest.approx(0.7, abs=0.06)
    assert all(text.count("facing") <= text.count("view") for text in texts)


def test_only_what_may_be_is_left_out(scenes):
    texts = [
        caption(ids)
        for ids in np.asarray(
            jax.jit(
                jax.vmap(lambda one: hushed(phrase_ids(one), one.seed, 1.0, ("expression", "pose")))
            )(scenes)
        )
    ]
    assert not any(word in text for text in texts for word in ("expression", "view", "facing"))
    assert all("before" in text and "shirt" in text for text in texts)


def test_lone_people_stand_at_every_size_and_place_and_captions_say_so(lone):
    found = jax.jit(jax.vmap(truth))(lone)
    middle = np.asarray(found.box[:, 0, 0] + found.box[:, 0, 2]) / 2
    width = np.asarray(found.box[:, 0, 2] - found.box[:, 0, 0])
    texts = [caption(ids) for ids in np.asarray(jax.jit(jax.vmap(phrase_ids))(lone))]
    far = np.array(["far away" in text for text in texts])
    off = np.array(["further off" in text for text in texts])
    assert (far.mean(), off.mean()) == pytest.approx((0.25, 0.25), abs=0.07)
    assert width[far].max() < width[~far & ~off].min()
    left = np.array(["on the left" in text for text in texts])
    right = np.array(["on the right" in text for text in texts])
    assert middle[left].max() < 0.45
    assert middle[right].min() > 0.55
    assert not (left | right)[~far & ~off].any()


def test_a_crop_is_black_beyond_the_picture_and_nowhere_else(lone):
    some = jax.tree.map(lambda leaf: leaf[:64], lone)
    found = jax.vmap(truth)(some)
    pictures = np.asarray(jax.jit(framed, static_argnums=2)(some, found, 24)["framed"])
    black = (pictures == 0).all(-1)
    box = np.asarray(found.box[:, 0])
    side = 1.5 * np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
    margin = (box[:, :2] + box[:, 2:]) / 2 - side[:, None] / 2
    inside = ((margin > 0.1) & (margin + side[:, None] < 0.9)).all(1)
    outside = margin[:, 0] < -0.1
    assert inside.any()
    assert outside.any()
    assert black[inside].mean() < 0.02
    assert black[outside][:, :, 0].all()
