"""A safety checker against transformers' CLIP tower and the published rule; and what it does to pictures."""

import json
from pathlib import Path

import fake_generator
import golden_io as golden
import numpy as np
import pytest

from dynamicid_jax import DynamicIDPipeline
from dynamicid_jax.convert import tensors
from dynamicid_jax.errors import WeightsError
from dynamicid_jax.inference.safety import FlaggedWarning, SafetyChecker

SIZE, WIDTH, CONCEPTS, SPECIAL = 32, 24, 5, 3
PICTURES = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8)
TOWER = {
    "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
    "patch_size": 8, "image_size": SIZE, "hidden_act": "quick_gelu",
}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A random checker in Stable Diffusion's layout; its embeddings of PICTURES and its concepts, by PyTorch."""
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's (extra `convert`)")
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(projection_dim=WIDTH, **TOWER)
    tower = CLIPVisionModelWithProjection(config).eval()
    rng = np.random.default_rng(1)
    lists = {
        "concept_embeds": rng.standard_normal((CONCEPTS, WIDTH)).astype(np.float32),
        "special_care_embeds": rng.standard_normal((SPECIAL, WIDTH)).astype(np.float32),
    }
    scale = np.array([[0.26862954, 0.26130258, 0.27577711]], np.float32)
    mean = np.array([[0.48145466, 0.4578275, 0.40821073]], np.float32)
    pixels = (PICTURES.reshape(-1, 3) / 255 - mean) / scale
    pixels = pixels.reshape(PICTURES.shape).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        embeds = tower(torch.from_numpy(pixels)).image_embeds.numpy()
    folder = tmp_path_factory.mktemp("published") / "safety_checker"
    folder.mkdir()
    state = {_name(name): value.numpy() for name, value in tower.state_dict().items()}
    return folder, state, lists, embeds


def _name(name: str) -> str:
    """As in Stable Diffusion's file: the tower is one deeper there."""
    if name.startswith("visual_projection"):
        return name
    return f"vision_model.vision_model.{name.removeprefix('vision_model.')}"


def write(published, thresholds: np.ndarray, special: np.ndarray) -> Path:
    folder, state, lists, _ = published
    more = {"concept_embeds_weights": thresholds, "special_care_embeds_weights": special}
    arrays = {**state, **lists, **{name: one.astype(np.float32) for name, one in more.items()}}
    tensors.write(folder / "model.safetensors", arrays)
    text = {"model_type": "clip", "projection_dim": WIDTH, "vision_config": TOWER}
    (folder / "config.json").write_text(json.dumps(text))
    return folder


def cosines(embeds: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (embeds, concepts)]
    return unit[0] @ unit[1].T


def test_it_flags_what_the_published_rule_flags(published) -> None:
    _, _, lists, embeds = published
    concepts = cosines(embeds, lists["concept_embeds"])
    special = cosines(embeds, lists["special_care_embeds"])
    never = np.full(SPECIAL, 2.0)
    # The third picture is the only one above the first concept's threshold.
    order = np.sort(concepts[:, 0])
    thresholds = np.full(CONCEPTS, 2.0)
    thresholds[0] = (order[-1] + order[-2]) / 2
    flagged = SafetyChecker.load(write(published, thresholds, never))(PICTURES)
    assert flagged.tolist() == (concepts[:, 0] == order[-1]).tolist()
    # A little above it, nobody is flagged, unless a special concept makes it stricter by 0.01.
    thresholds[0] = order[-1] + 0.005
    assert not SafetyChecker.load(write(published, thresholds, never))(PICTURES).any()
    seen = np.full(SPECIAL, float(special.min()) - 0.1)
    flagged = SafetyChecker.load(write(published, thresholds, seen))(PICTURES)
    assert flagged.tolist() == (concepts[:, 0] > order[-1] - 0.0045).tolist()
    assert flagged.any()


def test_a_flagged_picture_is_black_and_it_is_said(published, tmp_path, monkeypatch) -> None:
    fake_generator.install(monkeypatch)
    folder = write(published, np.full(CONCEPTS, -2.0), np.full(SPECIAL, 2.0))
    for part in golden.checkpoint.iterdir():
        (tmp_path / part.name).symlink_to(part)
    small = {"height": 64, "width": 64, "steps": 1}
    base = tmp_path if (tmp_path / "unet").is_dir() else tmp_path / "base"
    assert DynamicIDPipeline.from_pretrained(tmp_path).safety_checker is None
    (base / "safety_checker").symlink_to(folder)
    pipe = DynamicIDPipeline.from_pretrained(tmp_path)
    with pytest.warns(FlaggedWarning, match="flagged 2 of 2 pictures"):
        out = pipe("a garden", num_images=2, **small)
    assert out.metadata["flagged"] == [True, True]
    assert not any(np.asarray(image).any() for image in out.images)
    pipe.safety_checker = lambda pictures: [False] * len(pictures)
    out = pipe("a garden", **small)
    assert out.metadata["flagged"] == [False]
    assert np.asarray(out.images[0]).any()


def test_convert_keeps_it(published, tmp_path, capsys) -> None:
    from dynamicid_jax.cli.main import main

    folder = write(published, np.zeros(CONCEPTS), np.zeros(SPECIAL))
    source = tmp_path / "source"
    source.mkdir()
    for part in golden.checkpoint.iterdir():
        (source / part.name).symlink_to(part)
    (source / "safety_checker").symlink_to(folder)
    assert main(["convert", str(source), "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    kept = SafetyChecker.load(tmp_path / "model" / "safety_checker")
    assert (kept(PICTURES) == SafetyChecker.load(folder)(PICTURES)).all()


def test_a_checker_of_another_kind_is_refused(published, tmp_path) -> None:
    folder, state, lists, _ = published
    write(published, np.zeros(CONCEPTS), np.zeros(SPECIAL))
    tensors.write(folder / "model.safetensors", {**state, **lists})
    with pytest.raises(WeightsError, match="concept_embeds_weights"):
        SafetyChecker.load(folder)
