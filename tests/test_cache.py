"""The cache is the user's own, or it is not used: a compiled program is code."""

import os
import stat
from pathlib import Path

import pytest

from dynamicid_jax import cache
from dynamicid_jax.cli.console import use_compilation_cache
from dynamicid_jax.errors import OutputError

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system knows no owners")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_made_for_its_owner_alone(root: Path) -> None:
    folder = cache.own_folder("xla")
    assert folder == root / "xla"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_others_may_write_to_is_closed(root: Path) -> None:
    (root / "xla").mkdir(parents=True)
    for folder in (root, root / "xla"):
        folder.chmod(0o777)
    cache.own_folder("xla")
    assert [stat.S_IMODE(one.stat().st_mode) for one in (root, root / "xla")] == [0o755, 0o755]


def test_another_users_folder_is_not_used(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (root / "xla").mkdir(parents=True)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(OutputError, match="belongs to another user"):
        cache.own_folder("xla")
    import jax

    before = jax.config.jax_compilation_cache_dir
    use_compilation_cache()
    assert "note: no compilation cache" in capsys.readouterr().err
    assert jax.config.jax_compilation_cache_dir == before
