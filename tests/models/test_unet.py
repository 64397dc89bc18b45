"""The UNet: forwards against the published code (2e-5), sizes, folding, and what must not change what."""

import dataclasses
import functools
import math
from typing import Any

import golden_io as golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax.convert.load import load_any
from dynamicid_jax.inference.layout import face_layout, map_sizes, strips
from dynamicid_jax.inference.random_model import nano_config, random_weights
from dynamicid_jax.models.configs import AdapterConfig, UNetConfig
from dynamicid_jax.models.gate import FaceLayout, apply_layout_strength
from dynamicid_jax.models.lora import fold
from dynamicid_jax.models.semantic_attention import GATE_MAPS
from dynamicid_jax.models.unet import UNet, timestep_embedding
from dynamicid_jax.trees import flatten

TEXT_TOKENS = 77


@pytest.fixture(scope="module")
def tiny() -> tuple[UNet, dict]:
    """The tiny checkpoint's UNet with its adapter, not folded."""
    config, weights, *_ = load_any(golden.checkpoint)
    variables = {"params": weights["unet"], "adapter": weights["adapter"]}
    return UNet(config.unet, config.adapter), variables


def recorded_call(case: dict, meta: dict) -> tuple:
    """Latents, timesteps, text, faces and layout of a recorded forward, in our conventions."""
    people = meta["id_num"]
    latents = np.repeat(case["in"]["latents"].transpose(0, 2, 3, 1), 2, axis=0)
    context = case["in"]["context"]
    text, faces = context[:, :TEXT_TOKENS], context[:, TEXT_TOKENS:].reshape(2, people, 4, -1)
    boxes = meta["bbox"] and [
        tuple(map(float, (x0, y0, x1, y1))) for y0, x0, y1, x1 in meta["bbox"]
    ]
    if boxes is None and people > 1:
        boxes = strips(people)
    layout = face_layout(
        boxes,
        jnp.eye(people),
        map_sizes(16, 16, 4),
        identity_scale=meta["id_scale"],
        gate=meta["activate_query"],
    )
    strength = meta["infer_scale"] if meta["count"] < meta["infer_end"] else 0
    arrays = (latents, np.full(2, meta["timestep"], np.int32), text, faces)
    return *map(jnp.asarray, arrays), layout.replace(strength=jnp.float32(strength))


@functools.partial(jax.jit, static_argnames="unet")
def forward(unet: UNet, variables: dict, *call: Any) -> tuple[jax.Array, dict]:
    """Output and gates, compiled as in use."""
    return unet.apply(variables, *call, mutable=[GATE_MAPS])


def recorded_gates(case: dict) -> dict[str, np.ndarray]:
    """Recorded gates by our module path."""
    gates = {}
    for key, value in case["out"].items():
        if key.startswith("act/"):
            names = key.removeprefix("act/").removesuffix(".attn2.processor").split(".")
            path = "/".join(names)
            for part in ("down_blocks", "up_blocks", "attentions", "transformer_blocks"):
                path = path.replace(f"{part}/", f"{part}_")
            gates[f"{path}/cross_attention/gate"] = value
    return gates


@pytest.mark.parametrize("name", [n for n in golden.cases("f_unet") if not n.endswith("mix")])
def test_forward_and_gates_equal_the_published_ones(tiny, name: str) -> None:
    unet, variables = tiny
    case, meta = golden.load(name)
    latents, timestep, text, faces, layout = recorded_call(case, meta)
    out, state = forward(unet, variables, latents, timestep, text, faces, layout)
    golden.close(np.moveaxis(out, -1, 1), case["out"]["noise_pred"], 2e-5)
    gates = flatten(state.get(GATE_MAPS, {}))
    recorded = recorded_gates(case)
    assert gates.keys() == recorded.keys()
    by_queries = {h * w: f"{h}x{w}" for h, w in map_sizes(16, 16, 4)}
    for path, gate in gates.items():
        inside = layout.inside.get(by_queries[gate.shape[1]])
        if inside is not None:
            gate = apply_layout_strength(gate, inside, layout.strength)
        assert np.abs(gate - recorded[path]).max() <= 1e-5 * max(1, np.abs(recorded[path]).max())


def test_latents_given_once_for_both_rows_of_guidance_give_the_recording(tiny) -> None:
    unet, variables = tiny
    case, meta = golden.load("f_unet_2id")
    latents, timestep, text, faces, layout = recorded_call(case, meta)
    contexts = unet.apply(variables, text, faces, method="project")
    shifts = unet.apply(variables, timestep[:1], method="embed_time")
    out = unet.apply(variables, latents[:1], shifts, contexts, layout, method="denoise")
    golden.close(np.moveaxis(out, -1, 1), case["out"]["noise_pred"], 2e-5)


def test_folding_lora_leaves_the_face_projections_only(tiny) -> None:
    unet, variables = tiny  # that the numbers stay is in test_lora.py and in every recorded sample
    copies = jax.tree.map(jnp.array, variables)
    _, rest, adapter = fold(copies["params"], copies["adapter"], unet.adapter)
    assert adapter.lora_rank == 0
    leaves = jax.tree_util.tree_leaves_with_path(rest)
    assert {jax.tree_util.keystr(path[-2:-1]) for path, _ in leaves} == {"['face_k']", "['face_v']"}


def test_identity_scale_zero_is_the_unet_without_people(tiny) -> None:
    unet, variables = tiny
    case, meta = golden.load("f_unet_2id")
    latents, timestep, text, faces, layout = recorded_call(case, meta)
    off = layout.replace(identity_scale=jnp.float32(0))
    without, gates = forward(unet, variables, latents, timestep, text)
    assert not gates
    golden.close(forward(unet, variables, latents, timestep, text, faces, off)[0], without, 1e-6)


def test_faces_act_on_their_own_row_only(tiny) -> None:
    unet, variables = tiny
    case, meta = golden.load("f_unet_2id")
    latents, timestep, text, faces, layout = recorded_call(case, meta)
    before, _ = forward(unet, variables, latents, timestep, text, faces, layout)
    changed = faces * jnp.array([1.0, -1.0])[:, None, None, None]
    after, _ = forward(unet, variables, latents, timestep, text, changed, layout)
    assert (before[0] == after[0]).all()
    assert jnp.abs(before[1] - after[1]).max() > 1e-3


@pytest.mark.parametrize(("height", "width"), [(8, 24), (40, 8)])
def test_any_multiple_of_eight_cells_keeps_its_size(tiny, height: int, width: int) -> None:
    unet, variables = tiny
    spec = jax.ShapeDtypeStruct((1, height, width, 4), jnp.float32)
    text = jax.ShapeDtypeStruct((1, 77, 64), jnp.float32)
    out = jax.eval_shape(lambda x, t: unet.apply(variables, x, jnp.zeros(1), t), spec, text)
    assert out.shape == spec.shape


def test_full_size_parameter_counts_are_the_published_ones() -> None:
    text, faces = jnp.zeros((1, 77, 768)), jnp.zeros((1, 1, 4, 768))
    call = (jnp.zeros((1, 64, 64, 4)), jnp.zeros(1), text, faces, FaceLayout.free(1))
    shapes = jax.eval_shape(UNet(UNetConfig(), AdapterConfig()).init, jax.random.key(0), *call)

    def count(tree) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))

    assert count(shapes["params"]) == 859_520_964
    assert count(shapes["adapter"]) == 44_679_168
    names = jax.tree_util.tree_leaves_with_path(shapes["adapter"])
    lora = [leaf for path, leaf in names if "lora" in jax.tree_util.keystr(path)]
    assert count(lora) == 25_509_888


def test_an_sdxl_shaped_config_builds() -> None:
    config = dataclasses.replace(
        UNetConfig(),
        block_channels=(16, 32, 64),
        transformer_depth=(0, 2, 3),
        mid_transformer_depth=3,
        num_heads=(1, 2, 4),
        context_width=24,
        norm_groups=8,
        linear_projection=True,
    )
    latents, text = jnp.zeros((1, 16, 16, 4)), jnp.zeros((1, 77, 24))
    init = UNet(config).init_with_output
    out, variables = jax.eval_shape(init, jax.random.key(0), latents, jnp.zeros(1), text)
    assert out.shape == latents.shape
    transformer = variables["params"]["down_blocks_2"]["attentions_0"]
    assert {f"transformer_blocks_{k}" for k in range(3)} <= transformer.keys()
    assert "attentions_0" not in variables["params"]["down_blocks_0"]


def test_timestep_embedding_has_cosines_first_and_unit_norm_pairs() -> None:
    embedded = timestep_embedding(jnp.array([0, 1, 999]), 320)
    cosine, sine = np.split(np.asarray(embedded), 2, axis=1)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-5)
    np.testing.assert_allclose(embedded[0], np.repeat([1.0, 0.0], 160))
    np.testing.assert_allclose(np.arccos(cosine[1, 0]), 1, atol=1e-5)  # the highest frequency is 1


def test_a_timesteps_shifts_do_not_depend_on_the_others_of_the_run() -> None:
    config = nano_config()
    weights = {"params": random_weights(config, only=("unet",))["unet"]}
    net = UNet(config.unet)
    together = net.apply(weights, jnp.array([999, 500, 1]), method="embed_time")
    alone = net.apply(weights, jnp.array([500]), method="embed_time")
    rows = jax.tree.map(lambda shifts: shifts[1:2], together)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-5), rows, alone)
    counts = {place: sum(map(len, blocks)) for place, blocks in alone.items()}
    assert counts == {"down": 2, "mid": 2, "up": 4}  # a resnet each
