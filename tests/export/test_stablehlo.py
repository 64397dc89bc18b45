"""`dynamicid export --to stablehlo`: the same pictures in a process that has JAX and nothing of ours."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.export import stablehlo_loader
from dynamicid_jax.export.programs import _inside
from dynamicid_jax.inference.layout import covered_cells
from dynamicid_jax.models.vae import VAE

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = ("a couple in a garden", "two friends")
BOXES = ((0.0, 0.25, 0.5, 1.0), (1 / 3, 0.0, 1.0, 2 / 3))
SEEDS = (3, 4_000_000_000)
OPTIONS = {"guidance_scale": 4.0, "layout_strength": 1.5, "layout_steps": 1, "identity_scale": 0.9}

FRESH = """
import sys
for name in ("dynamicid_jax", "flax", "safetensors", "transformers", "torch"):
    sys.modules[name] = None  # importing it fails
folder, inputs, outputs = sys.argv[1:]
sys.path.insert(0, folder)
import numpy as np
from load import load
given = dict(np.load(inputs))
parts = {name: given.pop(name) for name in ("imr/tokens", "imr/keypoints", "imr/text")}
pictures = load(folder, "sampler")(**given)
text = load(folder, "text_encoder")(ids=given["ids"])
tokens, keypoints, words = parts.values()
edited = load(folder, "imr")(
    tokens=tokens, source_keypoints=keypoints[:1], source_text=words[:1],
    target_keypoints=keypoints, target_text=words,
)
np.savez(outputs, **pictures, pooled=text["pooled"], **edited)
"""


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory, export) -> Path:
    """Some of the programs: compiling all of them takes a minute."""
    out = tmp_path_factory.mktemp("stablehlo") / "out"
    only = ("--only", "sampler", "text_encoder", "imr")
    assert export(model, out, "--to", "stablehlo", "--steps", "2", *only) == 0
    return out


def test_a_fresh_process_with_jax_alone_draws_the_same_pictures(
    model: Path, written: Path, tmp_path: Path
) -> None:
    pipe = DynamicIDPipeline.from_pretrained(model)
    dice = np.random.default_rng(5)
    tokens = dice.standard_normal((2, *pipe.token_shape)).astype(np.float32)
    people = [pipe.person(face_tokens=one, box=box) for one, box in zip(tokens, BOXES, strict=True)]
    outs = [
        pipe(prompt, people, negative_prompt="blurred", seed=seed, steps=2, **OPTIONS)
        for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
    ]
    tokenizer = pipe._generate._conditioner.tokenizer
    motion = dice.standard_normal((3, 32)).astype(np.float32)
    inputs = tmp_path / "inputs.npz"
    np.savez(
        inputs,
        ids=tokenizer(PROMPTS),
        negative_ids=tokenizer(["blurred"] * 2),
        seed=np.array(SEEDS, np.uint32),
        faces=np.stack([tokens, tokens]),
        boxes=np.array([BOXES, BOXES], np.float32),
        **{
            name: np.asarray(value, np.int32 if name == "layout_steps" else np.float32)
            for name, value in OPTIONS.items()
        },
        **{"imr/tokens": tokens[:1], "imr/keypoints": motion, "imr/text": motion[::-1]},
    )
    command = [sys.executable, "-I", "-c", FRESH, written, inputs, tmp_path / "outputs.npz"]
    subprocess.run(list(map(str, command)), check=True)
    made = np.load(tmp_path / "outputs.npz")
    latents = np.concatenate([out.latents for out in outs])
    np.testing.assert_allclose(made["latents"], latents, atol=1e-5 * np.abs(latents).max())
    vae, weights = VAE(pipe.config.vae), pipe._generate._weights["vae"]
    for row, out in enumerate(outs):
        scaled = jnp.asarray(out.latents) / pipe.config.vae.scaling_factor
        pixels = vae.apply({"params": weights}, scaled, method="decode")[0]
        expected = np.clip(np.asarray(pixels) / 2 + 0.5, 0, 1)
        np.testing.assert_allclose(made["pictures"][row], expected, atol=1e-5)
        levels = np.round(made["pictures"][row] * 255).astype(int)
        assert np.abs(levels - np.asarray(out.images[0]).astype(int)).max() <= 1
    assert made["pooled"].shape == (2, 32)
    assert made["edited"].shape == (3, *pipe.token_shape)


def test_programs_say_what_they_take_and_run_everywhere(written: Path) -> None:
    about = json.loads((written / "programs.json").read_text())
    assert about.keys() == {"sampler", "text_encoder", "imr"}
    for name, told in about.items():
        exported = jax.export.deserialize(bytearray((written / told["file"]).read_bytes()))
        assert exported.platforms == ("cpu", "cuda", "tpu"), name
        assert "cudnn" not in exported.mlir_module()  # attention is XLA's own
    assert about["sampler"]["inputs"]["ids"]["shape"] == ["b", 77]
    assert about["sampler"]["outputs"]["pictures"]["shape"] == ["b", "64", "64", "3"]
    assert not any("lora" in key for key in about["sampler"]["weights"])  # folded in
    assert {key.split("/")[0] for key in about["text_encoder"]["weights"]} == {"text_encoder"}


def test_the_loader_is_the_one_in_the_readme(written: Path) -> None:
    source = Path(stablehlo_loader.__file__).read_text()
    assert (written / "load.py").read_text() == source
    assert source[source.index("def load(") :] in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("size", [(8, 8), (12, 16), (64, 48)])
def test_cells_of_boxes_are_those_of_the_pipeline(size: tuple[int, int]) -> None:
    """Thirds, strips and whole cells, which float32 may put under the edge, and boxes anywhere."""
    dice = np.random.default_rng(0)
    thirds = [(k / n, 0.0, (k + 1) / n, 1.0) for n in (3, 5, 6, 7) for k in range(n)]
    drawn = np.sort(dice.uniform(size=(200, 2, 2)), axis=1).reshape(200, 4)
    boxes = [*thirds, *map(tuple, drawn.tolist())]
    found = np.asarray(_inside(jnp.array([boxes], jnp.float32), *size))[0]
    for box, cells in zip(boxes, found, strict=True):
        edges = np.array(box) * np.array([size[1], size[0]] * 2)
        if np.all((np.ceil(edges) - edges > 2e-3) | (edges == np.round(edges, 9))):
            np.testing.assert_array_equal(cells.reshape(size), covered_cells(box, *size), str(box))


@pytest.mark.slow  # compiles every program four times
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_program_is_written_and_holds(
    model: Path, tmp_path: Path, export, dtype: str
) -> None:
    out = tmp_path / "out"
    assert export(model, out, "--to", "stablehlo", "--dtype", dtype) == 0
    files = json.loads((out / "export.json").read_text())["files"]
    networks = {"text_encoder", "unet", "vae_decoder", "vae_encoder", "image_encoder"}
    people = {"face_projection", "keypoint_encoder", "imr"}
    assert files.keys() == networks | people | {"sampler", "weights"}
    assert files["sampler"]["outputs"].keys() == {"pictures", "latents"}


def test_what_cannot_be_written_is_one_line(
    model: Path, tmp_path: Path, export, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = [
        (("--only", "magic"), "this model has no program 'magic'; it has text_encoder"),
        (("--size", "63"), "height: 63 px is not a multiple of 4"),
        (("--dtype", "int8"), "programs are written in float32 or bfloat16"),
        (("--adapter_only",), "--adapter_only: belongs to --to model or --to published"),
    ]
    for more, words in tries:
        assert export(model, tmp_path / "out", "--to", "stablehlo", *more) == 2
        shown = capsys.readouterr().err
        assert words in shown
        assert shown.count("\n") == 1
    assert not list(tmp_path.iterdir())
