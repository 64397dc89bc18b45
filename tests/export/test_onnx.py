from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest

from dynamicid_jax.errors import ExportError, InputError, OutputError
from dynamicid_jax.export.onnx import Input, to_onnx, verify, write_onnx
from dynamicid_jax.models import convolution
from dynamicid_jax.models.attention import attend_heads
from dynamicid_jax.models.configs import FaceProjectionConfig, IMRConfig, KeypointEncoderConfig
from dynamicid_jax.models.convolution import upsample_nearest
from dynamicid_jax.models.face_projection import FaceProjection
from dynamicid_jax.models.imr import IMR
from dynamicid_jax.models.keypoint_encoder import KeypointEncoder
from dynamicid_jax.models.layers import GroupNorm, ResnetBlock, conv3x3

TOLERANCE = 1e-5
BATCHES = (1, 3)
TOKENS, MAP = ("n", 5, 6), ("n", 8, 10, 4)


def draw(shape: Sequence[Any], seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(values * (10 if np.dtype(dtype).kind == "i" else 1)).astype(dtype)


def weights(module: nn.Module, *inputs: np.ndarray, method: Any = None, seed: int = 1) -> Any:
    """Random variables of a module, scaled so that activations stay near 1 in deep networks too."""

    def init(*arrays: jax.Array) -> Any:
        return module.init(jax.random.key(0), *arrays, method=method)

    def leaf(path: Any, like: Any) -> jax.Array:
        fan_in = int(np.prod(like.shape[:-1])) if like.ndim > 1 else 4
        values = rng.normal(size=like.shape) / np.sqrt(fan_in)
        if path[-1].key in ("var", "scale"):
            values = 0.75 + np.abs(values) / 4
        if path[-1].key == "var":
            values *= 2
        return jnp.asarray(values, jnp.float32)

    rng = np.random.default_rng(seed)
    return jax.tree_util.tree_map_with_path(leaf, jax.eval_shape(init, *inputs))


def of_module(module: nn.Module, *shapes: Sequence[Any], method: Any = None) -> Callable[..., Any]:
    """A function of arrays that closes over a module's random weights."""
    values = weights(module, *(draw(concrete(shape, 2)) for shape in shapes), method=method)
    return lambda *arrays: module.apply(values, *arrays, method=method)


def concrete(shape: Sequence[Any], batch: int) -> tuple[int, ...]:
    return tuple(batch if size == "n" else size for size in shape)


def check(function: Callable[..., Any], *inputs: Input, outputs: int = 1) -> onnx.ModelProto:
    """Exports and compares at every batch size."""
    model = to_onnx(function, inputs, [f"out{k}" for k in range(outputs)])
    samples = [
        [draw(concrete(item.shape, batch), k, item.dtype) for k, item in enumerate(inputs)]
        for batch in BATCHES
    ]
    assert verify(model, function, samples) < TOLERANCE
    return model


W = draw((6, 7), 9)
KERNEL = draw((3, 3, 4, 6), 8) / 6
POSITIVE = lambda x: jnp.abs(x) + 0.5  # noqa: E731

ON_TOKENS = {
    "arithmetic": lambda x: (x * 2 - 1) / (x * x + 3) + jnp.maximum(x, 0.1) - jnp.minimum(-x, 0.2),
    "powers": lambda x: x**3 + jnp.square(x) + POSITIVE(x) ** -0.5 + POSITIVE(x) ** 1.7,
    "roots": lambda x: jax.lax.rsqrt(POSITIVE(x)) + jnp.sqrt(POSITIVE(x)) + 1 / POSITIVE(x),
    "exponentials": lambda x: jnp.exp(x) + jnp.log(POSITIVE(x)) + jnp.log1p(x * x) + jnp.expm1(x),
    "waves": lambda x: jnp.sin(x) + jnp.cos(x) + jnp.sign(x) + jnp.floor(x) + jnp.ceil(x),
    "activations": lambda x: jax.nn.relu(x) + jax.nn.silu(x) + jnp.tanh(x) + jax.nn.sigmoid(x),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False) + jax.nn.gelu(x, approximate=True),
    "erf": lambda x: jax.lax.erf(x) + jax.lax.erfc(x) + jax.nn.leaky_relu(x) + jax.nn.softplus(x),
    "choices": lambda x: jnp.where((x > 0.3) | (x <= -0.4), x, 0.0) + jnp.where(x != x, 1, x),
    "bounds": lambda x: jnp.clip(x, -0.5, 0.5) + jax.lax.clamp(-0.3, x, 0.3),
    "logic": lambda x: jnp.logical_and(x > 0, ~(x >= 1)) ^ jnp.isfinite(x / jnp.floor(x * x)),
    "casts": lambda x: (x * 10).astype(jnp.int32).astype(jnp.float32) + (x > 0).astype(jnp.float32),
    "reductions": lambda x: (x.sum(1), x.mean((1, 2)), x.max(2), x.min((0, 2)), x.var(-1)),
    "over all": lambda x: (x.mean(), x.sum(0), x.mean(0), jnp.prod(x, axis=2)),
    "softmax": lambda x: (jax.nn.softmax(x), jax.nn.log_softmax(x, axis=1)),
    "unit length": lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    "dense": lambda x: x @ W,
    "products": lambda x: (
        jnp.einsum("nij,nkj->nik", x, x),
        jnp.einsum("nij,nkj->ik", x, x),
        jnp.einsum("ab,nib->nai", W.T, x),
        jnp.einsum("ni,nj->nij", x[:, 0], x[:, 1]),
        x[:, 0] @ W[:, 0],
        jnp.tensordot(x, draw((5, 6)), 2),
    ),
    "shapes": lambda x: (
        x.reshape(x.shape[0], -1),
        x.reshape(-1, 6),
        jnp.swapaxes(x, 1, 2),
        x[:, None, :, None],
        x.mean(1, keepdims=True).squeeze(1),
        x.reshape(x.shape[0], 1, 30).transpose(2, 0, 1),
    ),
    "joined": lambda x: (jnp.concatenate([x, x * 2], 1), jnp.stack([x, -x], 1), jnp.tile(x, (1, 2, 1))),
    "parts": lambda x: (*jnp.split(x, 3, axis=-1), x[:, 1:4], x[:, ::2, 1:], x[:, -1], x[0], x[..., 2]),
    "constant positions": lambda x: (x[:, np.array([0, 3, 1])], jnp.take(x, np.array([5, 0]), axis=2)),
    "with a box": lambda x: (x[:, np.array([[2], [4]]), 1:3], x[:, 2, np.array([1, 1])]),
    "order": lambda x: (jnp.flip(x, 1), jnp.roll(x, 2, axis=1)),
    "frames": lambda x: jnp.pad(x, ((0, 0), (2, 1), (0, 3)), constant_values=0.5),
    "counting": lambda x: x + jnp.arange(6, dtype=jnp.float32)[None, None],
    "constant rows": lambda x: (jnp.broadcast_to(jnp.arange(3.0)[None], (x.shape[0], 3)), jnp.zeros_like(x)),
    "a constant": lambda x: (jnp.ones((2, 3)), x),
    "jit and checkpoint": lambda x: jax.jit(jax.checkpoint(lambda y: jnp.sin(y) * 2))(x),
    "stop_gradient": lambda x: jax.lax.stop_gradient(x) + jax.lax.optimization_barrier(x),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_TOKENS)
def test_operations_on_tokens(name) -> None:
    function = ON_TOKENS[name]
    results = jax.eval_shape(function, draw(concrete(TOKENS, 2)))
    model = check(function, Input("x", TOKENS), outputs=len(jax.tree.leaves(results)))
    assert len(model.graph.node) < 40


def pooled(x: jax.Array) -> tuple[jax.Array, ...]:
    return (
        nn.max_pool(x, (2, 2), (2, 2)),
        nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))),
    )


def bilinear_twice(x: jax.Array) -> jax.Array:
    """Along one axis at a time: a repeated cell, with a quarter of its outer neighbour."""
    for axis in (1, 2):
        ends = [jax.lax.slice_in_dim(x, k, k + 1, axis=axis) for k in (0, x.shape[axis] - 1)]
        before = jnp.concatenate([ends[0], jax.lax.slice_in_dim(x, 0, -1, axis=axis)], axis)
        after = jnp.concatenate([jax.lax.slice_in_dim(x, 1, None, axis=axis), ends[1]], axis)
        pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def conv(x: jax.Array, kernel: np.ndarray = KERNEL, **options: Any) -> jax.Array:
    given = {"window_strides": (1, 1), "padding": "SAME"} | options
    layout = given.pop("dimension_numbers", ("NHWC", "HWIO", "NHWC"))
    return jax.lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **given)


ON_MAPS = {
    "same": conv,
    "valid": lambda x: conv(x, padding="VALID"),
    "stride": lambda x: conv(x, window_strides=(2, 1), padding=((0, 1), (2, 1))),
    "dilated": lambda x: conv(x, rhs_dilation=(2, 1)),
    "groups": lambda x: conv(x, KERNEL[:, :, :2], feature_group_count=2),
    "depthwise": lambda x: conv(x, KERNEL[:, :, :1, :4], feature_group_count=4),
    "other layout": lambda x: conv(
        jnp.moveaxis(x, -1, 1),
        KERNEL.transpose(3, 2, 0, 1),
        dimension_numbers=("NCHW", "OIHW", "NCHW"),
    ),
    "kernel from the input": lambda x: conv(x, KERNEL * x.mean()),
    "pooling": pooled,
    "nearest": lambda x: (upsample_nearest(x), jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)),
    "bilinear": lambda x: (
        bilinear_twice(x),
        jax.image.resize(x, (x.shape[0], 16, 5, 4), "linear"),
    ),
    "patches": lambda x: (
        x.reshape(x.shape[0], 4, 2, 5, 2, 4).transpose(0, 1, 3, 2, 4, 5).reshape(x.shape[0], 20, 16)
    ),
}


@pytest.mark.parametrize("name", ON_MAPS)
def test_operations_on_maps(name) -> None:
    results = jax.eval_shape(ON_MAPS[name], draw(concrete(MAP, 2)))
    check(ON_MAPS[name], Input("x", MAP), outputs=len(jax.tree.leaves(results)))


class SmallViT(nn.Module):
    """One block of a vision transformer, as the mini networks are built."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b = x.shape[0]
        tokens = nn.Conv(24, (2, 2), strides=2)(x).reshape(b, 20, 24)
        y = nn.LayerNorm()(tokens)
        q, k, v = (nn.Dense(24)(y).reshape(b, 20, 3, 8) for _ in range(3))
        tokens = tokens + nn.Dense(24)(attend_heads(q, k, v).reshape(b, 20, 24))
        tokens = tokens + nn.Dense(24)(jax.nn.gelu(nn.Dense(48)(nn.LayerNorm()(tokens))))
        y = tokens.mean(1)
        return y / jnp.linalg.norm(y, axis=-1, keepdims=True)


IMR_CONFIG = IMRConfig(
    width=24,
    num_heads=3,
    head_width=8,
    context_width=10,
    keypoint_width=6,
    text_width=5,
)
PROJECTION = FaceProjectionConfig(
    id_width=16, image_width=20, context_width=24, tokens_per_person=4, depth=1, head_width=8
)
MODULES = {
    "group norm": (GroupNorm(groups=2, epsilon=1e-5), None, MAP),
    "residual block": (ResnetBlock(4, 6, 2, 1e-5), None, MAP),
    "small ViT": (SmallViT(), None, MAP),
    "keypoint encoder": (KeypointEncoder(KeypointEncoderConfig(width=64)), None, ("n", 96, 96, 1)),
    "face projection": (FaceProjection(PROJECTION), None, ("n", 16), ("n", 7, 20)),
    "id tokens": (FaceProjection(PROJECTION), "id_tokens", ("n", 16)),
}


@pytest.mark.parametrize("name", MODULES)
def test_networks(name) -> None:
    module, method, *shapes = MODULES[name]
    function = of_module(module, *shapes, method=method)
    check(function, *(Input(f"x{k}", shape) for k, shape in enumerate(shapes)))


# Method, shapes of its inputs. The whole pairs one source with several targets.
RECONFIGURATOR = {
    "motion": (("n", 6), ("n", 5)),
    "disentangle": (("n", 4, 10), ("n", 4, 24)),
    "entangle": (("n", 4, 24), ("n", 4, 24)),
    "__call__": ((1, 4, 10), (1, 6), (1, 5), ("n", 6), ("n", 5)),
}


@pytest.fixture(scope="module")
def reconfigurator() -> Any:
    return weights(IMR(IMR_CONFIG), *(draw(concrete(s, 2)) for s in RECONFIGURATOR["__call__"]))


@pytest.mark.parametrize("method", RECONFIGURATOR)
def test_reconfigurator(method, reconfigurator) -> None:
    function = lambda *arrays: IMR(IMR_CONFIG).apply(reconfigurator, *arrays, method=method)  # noqa: E731
    check(function, *(Input(f"x{k}", shape) for k, shape in enumerate(RECONFIGURATOR[method])))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_a_branch_for_one_platform_is_not_taken() -> None:
    wide = (1, 4, 4, convolution.WIDE)
    function = of_module(conv3x3(convolution.WIDE, jnp.float32), wide)
    model = check(function, Input("x", ("n", *wide[1:])))
    assert operators(model) == ["Transpose", "Conv", "Add", "Transpose", "Identity"]


def test_symbolic_sizes_are_named_in_the_model_and_may_be_several() -> None:
    inputs = Input("a", ("n", 3)), Input("b", ("m", 3))
    model = to_onnx(
        lambda a, b: (a @ b.T, (a[:, None] + b[None]).reshape(-1, 3)), inputs, ["c", "d"]
    )
    samples = [(draw((n, 3)), draw((m, 3), 1)) for n, m in ((1, 1), (2, 5))]
    with pytest.raises(ExportError, match=r"m\*n"):
        to_onnx(lambda a, b: jnp.ones((a.shape[0] * b.shape[0], 2)) * 1, inputs, ["c"])
    assert (
        verify(model, lambda a, b: (a @ b.T, (a[:, None] + b[None]).reshape(-1, 3)), samples)
        < TOLERANCE
    )
    dims = [
        [d.dim_param or d.dim_value for d in item.type.tensor_type.shape.dim]
        for item in model.graph.input
    ]
    assert dims == [["n", 3], ["m", 3]]


def test_fixed_shapes_need_no_sizes_at_run_time() -> None:
    function = lambda x: jnp.broadcast_to(x.mean(0), x.shape).reshape(-1) * x.shape[0]  # noqa: E731
    model = to_onnx(function, [Input("x", (3, 5))], ["y"])
    assert "Shape" not in operators(model)
    assert verify(model, function, [(draw((3, 5)),)]) < TOLERANCE


def test_channels_first_at_the_border() -> None:
    item = Input("input.1", MAP, channels_first=True)
    model = check(conv, item)
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["n", 4, 8, 10]
    # The border's transposition meets the convolution's own, and both go.
    assert operators(model) == ["Conv", "Transpose", "Identity"]
    x = draw(concrete(MAP, 2))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"input.1": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    np.testing.assert_allclose(found, conv(x), atol=TOLERANCE)


def test_between_convolutions_only_their_own_layout_remains() -> None:
    def function(x: jax.Array) -> jax.Array:
        y = jax.nn.relu(conv(x) - draw((6,))[None, None, None]) * 2
        return conv(y + y.mean(), draw((1, 1, 6, 3)) / 3)

    model = check(function, Input("x", MAP))
    assert operators(model).count("Transpose") == 3  # in, for the mean, out
    assert "Relu" in operators(model)


def test_half_weights_lose_nothing_and_halve_the_file() -> None:
    rounded, exact = draw((64, 64), 3).astype(np.float16).astype(np.float32), draw((64, 64), 4)
    items, x = [Input("x", ("n", 64))], draw((3, 64))
    sizes = {}
    for name, matrix in {"rounded": rounded, "exact": exact, "huge": rounded * 1e6}.items():
        function = lambda x, matrix=matrix: jax.nn.relu(x @ matrix)  # noqa: E731
        plain, half = (to_onnx(function, items, ["y"], half_weights=on) for on in (False, True))
        sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (plain, half)]
        first, second = (session.run(None, {"x": x})[0] for session in sessions)
        np.testing.assert_array_equal(first, second)
        sizes[name] = half.ByteSize() / plain.ByteSize()
    assert sizes["rounded"] < 0.55
    assert sizes["exact"] == sizes["huge"] == 1


def test_constants_are_stored_once_and_unused_ones_not_at_all() -> None:
    def function(x: jax.Array) -> jax.Array:
        unused = x @ draw((6, 500), 5)
        return (x @ W) * (x @ np.array(W)) + jnp.zeros_like(unused[:, :1])

    model = to_onnx(function, [Input("x", ("n", 6))], ["y"])
    assert sum(int(np.prod(c.dims)) for c in model.graph.initializer) <= W.size + 1
    assert operators(model).count("MatMul") == 1


def test_what_constants_alone_decide_is_computed_beforehand() -> None:
    function = lambda x: x * jax.lax.rsqrt(jnp.square(W).sum(0) + 1)[None]  # noqa: E731
    model = to_onnx(function, [Input("x", ("n", 7))], ["y"])
    assert operators(model) == ["Mul", "Identity"]


def test_same_function_same_bytes(tmp_path) -> None:
    module = SmallViT()
    values = weights(module, draw(concrete(MAP, 2)))

    def content(name: str) -> bytes:
        function = lambda x: module.apply(values, x)  # noqa: E731
        path = write_onnx(tmp_path / name, to_onnx(function, [Input("x", MAP)], ["y"]))
        return path.read_bytes()

    first = content("a.onnx")
    assert first == content("b.onnx")
    model = onnx.load_from_string(first)
    assert model.producer_name == "dynamicid-jax"
    # insightface takes a network with nodes named like these for one that prepares its own input.
    assert not any(node.name.startswith(("Sub", "Mul", "_")) for node in model.graph.node)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_a_missing_folder_is_named(tmp_path) -> None:
    model = to_onnx(lambda x: x, [Input("x", ("n",))], ["y"])
    with pytest.raises(OutputError, match="nowhere"):
        write_onnx(tmp_path / "nowhere" / "a.onnx", model)


UNSUPPORTED = {
    "sort": (lambda x: jnp.sort(x, axis=1), "primitive sort"),
    "scan": (lambda x: jax.lax.scan(lambda c, y: (c + y, c), x[:, 0], x.T)[0], "primitive scan"),
    "cond": (lambda x: jax.lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), "primitive cond"),
    "positions": (lambda x: x[:, x[0].astype(jnp.int32)], "primitive gather"),
    "beyond": (
        lambda x: jnp.take(x, np.array([0, 6]), axis=1),
        "position beyond an axis of size 6",
    ),
    "one beyond": (lambda x: jnp.take(x, 6, axis=1), "position beyond an axis of size 6"),
    "two axes": (
        lambda x: x.reshape(-1, 2, 3)[:, np.array([0, 1]), np.array([2, 1])],
        "along one axis",
    ),
    "dtype": (lambda x: x.astype(jnp.bfloat16) * 2, "bfloat16"),
    "size": (lambda x: x[: x.shape[0] - 1], "n - 1"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_written_is_named(name) -> None:
    function, named = UNSUPPORTED[name]
    with pytest.raises(ExportError, match=named):
        to_onnx(function, [Input("x", ("n", 6))], ["y"])


def test_wrong_arguments() -> None:
    items = [Input("x", ("n", 2))]
    with pytest.raises(InputError, match="returns 2 arrays, got 1"):
        to_onnx(lambda x: (x, x), items, ["y"])
    with pytest.raises(InputError, match="different names"):
        to_onnx(lambda x: x, items, ["x"])
    model = to_onnx(lambda x: x, items, ["y"])
    with pytest.raises(InputError, match="got none"):
        verify(model, lambda x: x, [])
    with pytest.raises(InputError, match="expected 1 arguments, got 2"):
        verify(model, lambda x, y: x, [(draw((1, 2)), draw((1, 2)))])


def test_verify_tells_of_a_difference() -> None:
    model = to_onnx(lambda x: x * 2, [Input("x", ("n", 2))], ["y"])
    x = np.array([[1.0, 2.0]], np.float32)
    assert verify(model, lambda x: x * 3, [(x,)]) == 2
    assert np.isnan(verify(model, lambda x: x * np.float32("nan"), [(x,)]))
    with pytest.raises(ExportError, match="output y"):
        verify(model, lambda x: x[0], [(x,)])
