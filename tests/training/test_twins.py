"""Pairs of renderings that differ in one factor alone, and the loss (10) on them, in `base` and `anchoring`."""

from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.config import (
    DataConfig,
    LogConfig,
    LossConfig,
    MeshConfig,
    SourceConfig,
    TrainConfig,
)
from dynamicid_jax.data.batch import TWINS, BatchSpec
from dynamicid_jax.data.fit import check_fields
from dynamicid_jax.diffusion import losses
from dynamicid_jax.diffusion.parameterization import target
from dynamicid_jax.diffusion.schedule import NoiseSchedule
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.random_model import nano_config
from dynamicid_jax.models.configs import ScheduleConfig
from dynamicid_jax.planning.program import abstract_step
from dynamicid_jax.training import setup
from dynamicid_jax.training.sharding import make_mesh
from dynamicid_jax.training.step import train_step
from dynamicid_jax.world.captions import caption, phrase_ids, without_motion
from dynamicid_jax.world.render import render_many, to_bytes
from dynamicid_jax.world.sources import Source
from dynamicid_jax.world.truth import truth
from dynamicid_jax.world.twins import (
    BROAD,
    LOOKS,
    in_another_look,
    in_other_expressions,
    of_other_people,
    twins_of,
)

SIDE = 48


@pytest.fixture(scope="module")
def pair():
    scenes = Source("world/scenes").scenes(jnp.arange(24))
    return scenes, in_other_expressions(scenes)


def test_twins_differ_in_everybodys_expression_and_in_nothing_else(pair):
    own, twins = pair
    assert (own.move.expression != twins.move.expression).all()
    back = twins._replace(move=twins.move._replace(expression=own.move.expression))
    jax.tree.map(np.testing.assert_array_equal, own, back)
    turns = (np.asarray(twins.move.expression) - np.asarray(own.move.expression)) % 7
    assert set(turns.ravel()) == {1, 2, 3, 4, 5, 6}


def test_twins_pictures_differ_on_faces_alone(pair):
    own, other = (np.asarray(to_bytes(render_many(one, SIDE)), int) for one in pair)
    found = jax.vmap(truth)(pair[0])
    boxes, present = np.asarray(found.box), np.asarray(found.present)
    middles = (np.arange(SIDE) + 0.5) / SIDE
    for row, far in enumerate(np.abs(own - other).max(-1)):
        inside = np.zeros((SIDE, SIDE), bool)
        for x0, y0, x1, y1 in boxes[row][present[row]]:
            # a jaw opens below the face box, brows and blushes reach beyond it
            rows, columns = (
                (middles > low - 0.1) & (middles < high + 0.1) for low, high in ((y0, y1), (x0, x1))
            )
            inside |= rows[:, None] & columns
        assert far[inside].max() > 20
        assert far[~inside].max(initial=0) <= 2


def test_twins_captions_differ_in_words_of_expressions_alone(pair):
    own, other = (np.asarray(jax.vmap(phrase_ids)(one)) for one in pair)
    for mine, theirs in zip(own, other, strict=True):
        assert caption(mine) != caption(theirs)
        assert caption(without_motion(mine)) == caption(without_motion(theirs))


def test_another_look_changes_its_own_factors_of_everybody_and_no_others(pair):
    own = pair[0]
    for place, names in enumerate(LOOKS.values()):
        other = in_another_look(own, jnp.arange(len(LOOKS)) == place)
        for name in names:
            assert (getattr(other.who, name) != getattr(own.who, name)).all(), name
        kept = {name: getattr(own.who, name) for name in names}
        back = other._replace(who=other.who._replace(**kept))
        jax.tree.map(np.testing.assert_array_equal, own, back)


def test_twins_of_other_people_differ_in_who_is_there_who_may_look_alike():
    source = Source("world/portraits", people=50, first=7, pictures=400)
    own = source.scenes(jnp.arange(400))
    others = of_other_people(own, source)
    assert (own.who.person != others.who.person).all()
    # only people of the source, and each of them the one that a portrait shows
    known = {int(one): row for row, one in enumerate(own.who.person[:, 0])}
    rows = np.array([known[int(one)] for one in others.who.person[:, 0]])
    assert len(set(rows.tolist())) == 50
    broad = [name for names in BROAD for name in names]
    for name in others.who._fields:
        mine, new = (np.asarray(getattr(one.who, name))[:, 0] for one in (own, others))
        kept = (new == mine) if name in broad else np.zeros(400, bool)
        np.testing.assert_array_equal(new[~kept], mine[rows][~kept])
        assert not kept.any() or kept.mean() == pytest.approx(0.52, abs=0.08)
    for names in BROAD:  # what belongs together stays together
        mine, new = (np.stack([getattr(w, n)[:, 0] for n in names]) for w in (own.who, others.who))
        assert ((new == mine).all(0) | (new == mine[:, rows]).all(0)).all()
    jax.tree.map(np.testing.assert_array_equal, own, others._replace(who=own.who))


def test_a_share_of_the_twins_shows_other_people():
    source = Source("world/portraits")
    own = source.scenes(jnp.arange(2000))
    twins = twins_of(own, source, 0.25)
    person, expression = (
        np.asarray(getattr(one, part) != getattr(other, part))[:, 0]
        for one, other, part in (
            (own.who, twins.who, "person"),
            (own.move, twins.move, "expression"),
        )
    )
    assert (person ^ expression).all()
    assert person.mean() == pytest.approx(0.25, abs=0.04)
    first = twins_of(source.scenes(jnp.arange(30)), source, 0.25)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:30]), first, twins)


def words(picture):
    """States of a caption that say it all, [b l x]."""
    return picture.reshape(picture.shape[0], 9, -1)


@dataclass(frozen=True)
class Knowing:
    """Networks that know the picture behind the words, the same error added to whatever they are asked."""

    schedule: NoiseSchedule
    hears: float = 1.0
    error: float = 0.0

    def predict(self, weights, noisy, timesteps, text, faces):
        clean = weights["clean"]
        meant = clean + self.hears * (text.reshape(clean.shape) - clean)
        alpha, sigma = self.schedule.alpha_sigma(timesteps)
        row = (-1, 1, 1, 1)
        eps = (noisy - alpha.reshape(row) * meant) / sigma.reshape(row)
        right = target(meant, eps, alpha, sigma, self.schedule.prediction_type)
        return right + self.error * jnp.sin(7 * noisy), None


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_only_what_the_words_change_counts(kind):
    schedule = NoiseSchedule.from_config(ScheduleConfig(prediction_type=kind))
    keys = jax.random.split(jax.random.key(0), 3)
    own, other = (jax.random.normal(key, (4, 3, 3, 2)) for key in keys[:2])
    noise = losses.Noise.draw(keys[2], own.shape, 1000)
    noise = replace(noise, timesteps=jnp.array([300, 500, 700, 999]))
    weights = {"clean": own}

    def rows(networks):
        own_words = losses.denoising_rows(networks, weights, own, noise, words(own), None)
        return losses.twin_rows(
            networks, weights, (own, other), noise, own_words.prediction, words(other)
        )

    left, whole = rows(Knowing(schedule))
    np.testing.assert_allclose(left / whole, 0, atol=1e-6)
    left, whole = rows(Knowing(schedule, error=5.0))  # wrong about all else
    np.testing.assert_allclose(left / whole, 0, atol=1e-6)
    left, whole = rows(Knowing(schedule, hears=0.0))
    np.testing.assert_allclose(left, whole, rtol=1e-6)
    left, whole = rows(Knowing(schedule, hears=0.5))
    np.testing.assert_allclose(left / whole, 0.25, rtol=1e-4)


def test_cells_count_by_their_emphasis():
    schedule = NoiseSchedule.from_config(ScheduleConfig(prediction_type="v_prediction"))
    own = jax.random.normal(jax.random.key(0), (2, 3, 3, 2))
    other = own.at[:, 1:].add(1.0)
    noise = losses.Noise(jnp.array([400, 800]), jax.random.normal(jax.random.key(1), own.shape))
    weights, deaf = {"clean": own}, Knowing(schedule, hears=0.0)
    seen = losses.denoising_rows(deaf, weights, own, noise, words(own), None).prediction
    rows = partial(losses.twin_rows, deaf, weights, (own, other), noise, seen, words(other), None)
    first = jnp.zeros((2, 3, 3)).at[:, 0].set(3.0)  # of mean 1, on cells that are alike
    np.testing.assert_allclose(rows(first)[0], 0, atol=1e-9)
    np.testing.assert_allclose(rows(1.5 - first / 2)[0], 1.5 * rows()[0], rtol=1e-5)


def recipe(stage="base", **loss) -> TrainConfig:
    kind = "world/scenes" if stage == "base" else "world/portraits"
    sources = (SourceConfig(kind, people=64, silence=0.5, silent=("expression",)),)
    nets = "" if stage == "base" else "mini"
    return TrainConfig(
        stage=stage,
        random_base="nano",
        batch_size=8,
        dtype="float32",
        data=DataConfig(sources, image_size=32, workers=0, face_nets=nets),
        loss=LossConfig(drop_image=0.0, drop_text=0.0, drop_both=0.0, twin_weight=1.0, **loss),
        log=LogConfig(heldout_every=0, pictures_every=0, tensorboard=False),
    )


@pytest.mark.parametrize("stage", ["base", "anchoring"])
def test_a_step_takes_pairs_and_leaves_out_those_that_come_too_early(monkeypatch, stage):
    monkeypatch.setattr(setup, "make_mesh", partial(make_mesh, devices=jax.devices()[:1]))
    ready = setup.set_up(recipe(stage))
    batch = next(iter(ready.loader)).batch
    ready.loader.close()
    state = ready.fresh_state()
    told = jax.jit(partial(train_step, ready.program))(ready.frozen, state, batch)[1]
    late = recipe(stage, twin_from=1000)
    later = replace(ready.program, config=late)
    none = jax.jit(partial(train_step, later))(ready.frozen, state, batch)[1]
    assert float(told["twin"]) > 0
    assert float(told["twin_told"]) < 1
    assert float(none["twin"]) == 0
    assert float(told["loss"]) == pytest.approx(float(none["loss"]) + float(told["twin"]), rel=1e-5)
    # and the pairs' gradient is one of its own
    assert float(told["grad_norm"]) != float(none["grad_norm"])


def fields_of_twins(**source):
    config = recipe("anchoring")
    sources = tuple(replace(one, **source) for one in config.data.sources)
    ready = setup.set_up(replace(config, data=replace(config.data, sources=sources)))
    batch = {name: np.asarray(value) for name, value in next(iter(ready.loader)).batch.items()}
    ready.loader.close()
    return batch


def test_a_twin_brings_its_own_face_and_identity():
    same, other = fields_of_twins(), fields_of_twins(twin_people=1.0)
    np.testing.assert_array_equal(same["twin_id_embedding"], same["id_embedding"])
    alike = (other["twin_id_embedding"] * other["id_embedding"]).sum(-1)
    assert alike.mean() < 0.6
    np.testing.assert_allclose(np.linalg.norm(other["twin_id_embedding"], axis=-1), 1, rtol=1e-5)
    # another mouth changes less of a face than another person does
    near, far = (
        np.abs(one["twin_reference"].astype(int) - one["reference"]).mean() for one in (same, other)
    )
    assert 0 < near < far
    # silent captions say the same of other people
    np.testing.assert_array_equal(other["twin_text_ids"], other["text_ids"])


@pytest.mark.parametrize("stage", ["base", "anchoring"])
def test_plans_know_the_pairs(stage):
    step = abstract_step(recipe(stage), nano_config(), make_mesh(MeshConfig()), features=False)
    twins = [name for name in step.batch if name.startswith("twin_")]
    assert len(twins) == (2 if stage == "base" else 4)
    for name in twins:
        assert step.batch[name] == step.batch[name.removeprefix("twin_")]


def test_pairs_are_refused_where_there_are_none():
    with pytest.raises(
        InputError, match=r"loss.twin_weight: is for stages 'base' and 'anchoring', not"
    ):
        setup.find_stage(replace(recipe(), stage="clip"))
    sources = (SourceConfig("world/scenes", twin_people=0.5),)
    people = replace(recipe(), data=DataConfig(sources, image_size=32))
    with pytest.raises(InputError, match=r"world/scenes: twin_people 0.5: expected .* 'anchoring'"):
        setup.find_stage(people)
    photos = SimpleNamespace(info=SimpleNamespace())
    with pytest.raises(InputError, match=r"photos: loss.twin_weight needs pairs .* world/scenes"):
        check_fields("photos", photos, BatchSpec(("pixels", *TWINS), 32), None)
