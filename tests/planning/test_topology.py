"""Names of machines; TPU slices themselves only where libtpu is installed."""

import importlib.util
import math
import os
import subprocess
import sys

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.planning.topology import CUBE, SQUARE, parse


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("v5e:16x16", "v5e:16x16"),
        ("V6E:4x4", "v6e:4x4"),
        ("v5e-256", "v5e:16x16"),
        ("v5litepod-256", "v5e:16x16"),  # as gcloud writes it
        ("v6e-8", "v6e:2x4"),
        ("v5p-128", "v5p:4x4x4"),  # 128 cores are 64 chips
        ("v4-8", "v4:2x2x1"),
        ("cpu:8", "cpu:8"),
    ],
)
def test_names(name: str, canonical: str) -> None:
    assert str(parse(name)) == canonical
    assert parse(canonical) == parse(name)


@pytest.mark.parametrize(
    "name", ["", "v5e", "v5e:", "v5e:0x4", "v5e-3", "v5-256", "gpu:8", "cpu:0"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="topology"):
        parse(name)


@pytest.mark.parametrize("table", [SQUARE, CUBE])
def test_slices_have_the_chips_of_their_names(table: dict[int, str]) -> None:
    for chips, shape in table.items():
        sides = [int(side) for side in shape.split("x")]
        assert math.prod(sides) == chips


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")
@pytest.mark.parametrize(
    ("name", "chips", "kind"),
    [
        ("v5e-256", 256, "TPU v5e"),
        ("v5p-128", 64, "TPU v5p"),
        ("v6e-256", 256, "TPU v6e"),
        ("v4-8", 4, "TPU v4"),
        ("v5e:1x1", 1, "TPU v5e"),
    ],
)
def test_slices_without_a_tpu(name: str, chips: int, kind: str) -> None:
    # libtpu reads its environment once per process
    code = (
        "from dynamicid_jax.planning.topology import find\n"
        "from dynamicid_jax.training.devices import of\n"
        f"found = find({name!r})\n"
        "print(len(found.devices), of(found.devices[0]).name)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split(maxsplit=1) == [str(chips), f"{kind}\n"]
