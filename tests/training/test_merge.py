"""Models trained beside each other, put together: each part comes from the run whose stage trained it."""

import numpy as np
import pytest

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.inference.random_model import write_random_model
from dynamicid_jax.training.merge import merge
from dynamicid_jax.trees import flatten


def test_every_part_comes_from_its_own_stage(tmp_path):
    runs = [("autoencoder", 1), ("clip", 2)]
    folders = [
        (stage, write_random_model(tmp_path / stage, "nano", seed=seed)) for stage, seed in runs
    ]
    merged = load_any(merge(folders, tmp_path / "model"), place=np.asarray).weights
    first, second = (load_any(folder, place=np.asarray).weights for _, folder in folders)
    for part, weights in merged.items():
        source = second if part in ("image_encoder", "text_encoder") else first
        expected = flatten(source[part])
        for path, leaf in flatten(weights).items():
            np.testing.assert_array_equal(leaf, expected[path])


def test_models_of_different_shapes_are_refused(tmp_path):
    one = write_random_model(tmp_path / "one", "nano")
    other = write_random_model(tmp_path / "other", "nano", imr=None, keypoint_encoder=None)
    with pytest.raises(WeightsError, match="another shape"):
        merge([("autoencoder", one), ("clip", other)], tmp_path / "model")
