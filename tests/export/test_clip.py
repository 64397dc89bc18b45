"""The pair of encoders for CLIP-T: the text encoder in products alone, and who has such a pair."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.convert import model_folder
from dynamicid_jax.errors import MissingPartError
from dynamicid_jax.export.clip import IMAGE, TEXT, TOLERANCE, export_clip, pooled_text
from dynamicid_jax.inference.random_model import nano_config, random_weights
from dynamicid_jax.inference.tokenizer_files import write_tokenizer
from dynamicid_jax.models.text_encoder import TextEncoder
from dynamicid_jax.packaged import mini_folder


def test_products_pool_at_the_first_end_of_text():
    config = nano_config().text_encoder
    weights = jax.tree.map(jnp.asarray, random_weights(nano_config())["text_encoder"])
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (3, config.max_length))
    ids = np.where(ids == config.eot_token_id, 0, ids).astype(np.int32)
    ids[0, [4, 9, -1]] = ids[1, -1] = ids[2, 0] = config.eot_token_id
    expected = TextEncoder(config).apply({"params": weights}, jnp.asarray(ids))[1]
    found = pooled_text(config, weights, jnp.asarray(ids))
    assert np.abs(np.asarray(found - expected)).max() < 1e-5


def test_the_mini_models_pair_is_written(tmp_path):
    if mini_folder() is None:
        pytest.skip("this checkout comes without the mini model")
    report = export_clip("mini", tmp_path / "judges", lambda text: None)
    assert {path.name for path in (tmp_path / "judges").iterdir()} == {IMAGE, TEXT}
    assert all(part["difference"] <= TOLERANCE for part in report.values())


def test_encoders_of_two_spaces_are_refused(tmp_path):
    config = nano_config()
    apart = replace(config, image_encoder=replace(config.image_encoder, projection_width=16))
    write_tokenizer(tmp_path / "tokenizer", config.text_encoder.max_length)
    model_folder.save(tmp_path / "model", apart, random_weights(apart), tmp_path / "tokenizer")
    with pytest.raises(MissingPartError, match="has no image encoder in the text encoder's space"):
        export_clip(tmp_path / "model", tmp_path / "out")
