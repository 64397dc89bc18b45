import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from published_weights import run, stored, variables

from dynamicid_jax.convert.rules_dynamicid import KEYPOINT_RULES
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import KeypointEncoderConfig
from dynamicid_jax.models.keypoint_encoder import BatchNorm, KeypointEncoder
from dynamicid_jax.trees import flatten
from dynamicid_jax.types import Params

EVAL_TOLERANCE, TRAIN_TOLERANCE = 2e-5, 2e-4


def nhwc(pictures: np.ndarray) -> np.ndarray:
    return pictures.transpose(0, 2, 3, 1).astype(np.float32)


@pytest.fixture(scope="module")
def recorded() -> tuple[KeypointEncoder, Params, golden.Case]:
    case, meta = golden.load("d_kpe_768")
    network = KeypointEncoder(KeypointEncoderConfig(width=meta["ctor"]["embedding_dim"]))
    raster = nhwc(case["in"]["landmark"])
    return network, variables(network, KEYPOINT_RULES, case["sd"], raster), case


@pytest.mark.parametrize("name", ["landmark", "gauss"])
def test_features_are_those_of_the_published_encoder(recorded, name) -> None:
    network, weights, case = recorded
    features = run(network, weights, nhwc(case["in"][name]))
    golden.close(features, case["out"][f"eval_{name}"][:, :, 0, 0], EVAL_TOLERANCE)


def test_training_features_and_statistics_are_the_published_ones(recorded) -> None:
    network, weights, case = recorded

    @jax.jit
    def step(weights: Params, raster: jax.Array):
        return run(network, weights, raster, train=True, mutable="batch_stats")

    features, moved = step(weights, nhwc(case["in"]["landmark"]))
    golden.close(features, case["out"]["train_landmark"][:, :, 0, 0], TRAIN_TOLERANCE)
    statistics = flatten(moved["batch_stats"])
    assert len(statistics) == 2 * 18
    for path, statistic in statistics.items():
        block, _, kind = path.split("/")
        i, j = block.removeprefix("blocks_").split("_")
        published = case["out"][f"after_train/blocks.{i}.{j}.conv_block.1.running_{kind}"]
        golden.close(statistic, published, TRAIN_TOLERANCE)


def test_tiny_checkpoint_gives_the_published_features() -> None:
    case, _ = golden.load("f_edit")
    network = KeypointEncoder(KeypointEncoderConfig(width=64))
    points = np.stack([case["out"]["raster_src"], case["out"]["raster_tgt"]])[..., None]
    raster = np.where(points > 0, 1, -1).astype(np.float32)
    weights = variables(network, KEYPOINT_RULES, stored("key_point_encoder.bin"), raster)
    golden.close(run(network, weights, raster), case["out"]["kpe_features"], EVAL_TOLERANCE)


def norm_weights(channels: int) -> Params:
    draw = np.random.default_rng(1)
    vector = lambda: jnp.asarray(draw.uniform(0.5, 2, channels), jnp.float32)  # noqa: E731
    params, statistics = {"scale": vector(), "bias": vector()}, {"mean": vector(), "var": vector()}
    return {"params": params, "batch_stats": statistics}


def test_statistics_of_a_sharded_batch_are_those_of_the_global_batch() -> None:
    """Eight devices hold one map each, around different means: local statistics would show."""
    draw = np.random.default_rng(0)
    maps = draw.normal(size=(8, 3, 3, 5)) + 10 * np.arange(8)[:, None, None, None]
    maps, weights, network = maps.astype(np.float32), norm_weights(5), BatchNorm(5)

    @jax.jit
    def step(weights: Params, maps: jax.Array):
        return run(network, weights, maps, train=True, mutable="batch_stats")

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = jax.device_put(maps, NamedSharding(mesh, PartitionSpec("data")))
    assert len(spread.addressable_shards) == 8
    y, moved = step(weights, spread)
    expected, expected_moved = step(weights, maps)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    for kind in ("mean", "var"):
        ours, theirs = moved["batch_stats"][kind], expected_moved["batch_stats"][kind]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_training_output_does_not_depend_on_running_statistics() -> None:
    network, weights = BatchNorm(5), norm_weights(5)
    maps = np.random.default_rng(0).normal(size=(2, 3, 3, 5)).astype(np.float32)
    fresh = {**weights, "batch_stats": {"mean": jnp.zeros(5), "var": jnp.ones(5)}}
    train = [run(network, w, maps, train=True, mutable="batch_stats")[0] for w in (weights, fresh)]
    np.testing.assert_array_equal(*train)
    assert (
        np.abs(
            run(network, weights, maps, train=False) - run(network, fresh, maps, train=False)
        ).max()
        > 0
    )


def test_one_value_per_channel_has_no_batch_statistics() -> None:
    with pytest.raises(InputError, match="2 or more"):
        run(
            BatchNorm(5),
            norm_weights(5),
            jnp.ones((1, 1, 1, 5)),
            train=True,
            mutable="batch_stats",
        )


def test_bfloat16_stays_near_float32(recorded) -> None:
    network, weights, case = recorded
    raster = nhwc(case["in"]["landmark"])[:1]
    half = KeypointEncoder(network.config, jnp.bfloat16)
    features = run(half, weights, raster)
    assert features.dtype == jnp.bfloat16
    expected = case["out"]["eval_landmark"][:1, :, 0, 0]
    golden.close(features.astype(jnp.float32), expected, 0.1)
