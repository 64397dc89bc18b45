"""What may be asked for: defaults, bounds, and one line for everything else."""

import pytest

from dynamicid_jax.app.limits import Limits
from dynamicid_jax.app.wishes import parse_wish
from dynamicid_jax.errors import InputError
from dynamicid_jax.inference.layout import AutoBox
from dynamicid_jax.inference.random_model import nano_config

CONFIG, LIMITS = nano_config(), Limits()
ADA = {"photos": ["ada"]}


def parse(**body):
    return parse_wish({"prompt": "a garden", **body}, CONFIG, LIMITS)


def test_what_is_left_out_is_the_models_own() -> None:
    wish = parse()
    assert (wish.kind, wish.layout, wish.pictures, wish.people) == ("picture", "boxes", 1, ())
    assert wish.request.steps == CONFIG.sampling.steps
    assert wish.request.width == CONFIG.sampling.width


def test_a_layout_decides_what_a_place_is() -> None:
    person = {**ADA, "box": [0, 0, 0.5, 1], "words": "a man"}
    places = [
        parse(people=[person], layout=one).people[0].place for one in ("boxes", "strips", "auto")
    ]
    assert places == [(0, 0, 0.5, 1), None, AutoBox("a man")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a" * 1001}, "1001 letters"),
        ({"prompt": 3}, "prompt"),
        ({"negative_prompt": "a" * 1001}, "negative_prompt"),
        ({"kind": "film"}, "kind"),
        ({"layout": "circle"}, "layout"),
        ({"pictures": 0}, "pictures"),
        ({"pictures": 5}, "pictures"),
        ({"pictures": True}, "pictures"),
        ({"steps": 101}, "steps"),
        ({"width": 2048}, "width"),
        ({"seed": -1}, "seed"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"num_images": 4}, "unknown 'num_images'"),
        ({"gate": False}, "unknown 'gate'"),
        ({"latents": []}, "unknown 'latents'"),
        ({"people": {}}, "people"),
        ({"people": [ADA] * 7}, "people"),
        ({"people": ["ada"]}, "person 1"),
        ({"people": [{}]}, "photo"),
        ({"people": [{"photos": ["x" * 65]}]}, "ids"),
        ({"people": [{"photos": [{"path": "/etc/passwd"}]}]}, "ids"),
        ({"people": [{**ADA, "face": "purple"}]}, "purple"),
        ({"people": [{**ADA, "box": [0, 0, 2, 1]}]}, "box"),
        ({"people": [{**ADA, "strength": -1}]}, "strength"),
        ({"people": [{**ADA, "mix": {"share": 2}}]}, "share"),
        ({"people": [{**ADA, "mix": []}]}, "mix"),
        ({"people": [{**ADA, "file": "/etc/passwd"}]}, "unknown 'file'"),
        ({"people": [ADA, ADA], "kind": "grid"}, "grid"),
    ],
)
def test_everything_else_is_refused_in_one_line(change, message) -> None:
    if change.get("people") == [{**ADA, "mix": []}]:
        change = {"people": [{**ADA, "mix": [1]}]}
    with pytest.raises(InputError, match=r"^[^\n]+$") as caught:
        parse(**change)
    assert message in str(caught.value)


def test_only_wishes_of_one_shape_go_together() -> None:
    assert parse(seed=1).shape == parse(seed=2, prompt="a wall").shape
    assert parse(seed=1).shape != parse(people=[ADA]).shape
    assert parse(layout="auto", people=[ADA]).shape is None
    assert parse(pictures=2).shape is None
