"""What is compiled at the start is what a first visitor's picture needs."""

import pytest
from app_stub import NEEDS

from dynamicid_jax.app.limits import Limits
from dynamicid_jax.app.studio import Studio
from dynamicid_jax.app.wishes import parse_wish
from dynamicid_jax.inference import networks
from dynamicid_jax.inference.pipeline import DynamicIDPipeline
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.packaged import mini_folder

PERSON = {"photos": ["ada"], "face": "sad", "box": [0.0, 0.2, 0.5, 0.9]}


def test_a_first_picture_compiles_nothing_after_the_warm_up(tmp_path) -> None:
    mini = mini_folder()
    if mini is None:
        pytest.skip(NEEDS)
    model = write_random_model(tmp_path / "model", "tiny")
    pipe = DynamicIDPipeline.from_pretrained(model, face_pack=mini / "face_pack")
    studio = Studio(pipe, "model", warm_up=True)
    for warm_up in studio.warm_ups():
        warm_up()
    programs = [
        networks.encode_face,
        networks.reconfigure,
        networks.project,
        networks.make_steps,
        networks.run_steps,
        networks.decode,
    ]
    before = [program._cache_size() for program in programs]
    photos, drawn = studio.packaged(), []
    for people in ([PERSON], [PERSON, {**PERSON, "box": [0.5, 0.2, 1.0, 0.9]}], []):
        said = {"prompt": "a garden", "steps": 2, "people": people}
        wish = parse_wish(said, pipe.config, Limits())
        studio.draw(wish, said, photos, keep=drawn.append)
    assert len(drawn) == 3
    assert [program._cache_size() for program in programs] == before


def test_nothing_is_compiled_unless_asked_for() -> None:
    from app_stub import StubPipeline

    if mini_folder() is None:
        pytest.skip(NEEDS)
    assert Studio(StubPipeline(), "model").warm_ups() == []
