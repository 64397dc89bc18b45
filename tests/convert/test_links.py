"""A model folder's links stay inside it; Hugging Face's cache, which is made of links, still loads."""

import shutil
from pathlib import Path

import pytest

from dynamicid_jax.convert.links import check_links
from dynamicid_jax.convert.load import load_any
from dynamicid_jax.errors import WeightsError


@pytest.mark.parametrize("what", ["vae.safetensors", "tokenizer"])
def test_a_link_out_of_the_folder_is_refused(saved: Path, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    shutil.move(saved / what, outside)
    (saved / what).symlink_to(outside)
    with pytest.raises(WeightsError, match="leads out of the model's folder") as caught:
        load_any(saved)
    assert what in str(caught.value)


def test_links_inside_and_to_the_folder_itself(saved: Path, tmp_path: Path) -> None:
    (saved / "vae.safetensors").rename(saved / "elsewhere")
    (saved / "vae.safetensors").symlink_to("elsewhere")
    link = tmp_path / "a name"
    link.symlink_to(saved, target_is_directory=True)
    check_links(link)


def test_a_cached_snapshot(tmp_path: Path) -> None:
    snapshot, blobs = (
        tmp_path / "models--a--b" / "snapshots" / "12ab",
        tmp_path / "models--a--b" / "blobs",
    )
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "ff").write_bytes(b"")
    (snapshot / "model.json").symlink_to("../../blobs/ff")
    check_links(snapshot)
    (snapshot / "more").symlink_to("../../../other")
    with pytest.raises(WeightsError):
        check_links(snapshot)


def test_a_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(WeightsError):
        check_links(tmp_path)
