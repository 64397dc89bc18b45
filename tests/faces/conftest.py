"""Fixtures: a fake pack of exact arithmetic; real networks and photographs where present."""

import os
from pathlib import Path

import fake_face_pack as fake_pack
import pytest

from dynamicid_jax.faces.pack import FacePack

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("DYNAMICID_REAL_ASSETS", ROOT.parent / "shared" / "real"))


@pytest.fixture(scope="session")
def fake_folder(tmp_path_factory):
    return fake_pack.write_pack(tmp_path_factory.mktemp("packs") / "fake")


@pytest.fixture(scope="session")
def fake(fake_folder):
    return FacePack.load(fake_folder)


@pytest.fixture(scope="session")
def real_assets():
    if not (REAL / "face_pack").is_dir():
        pytest.skip(f"no real face networks and photographs at {REAL} (set DYNAMICID_REAL_ASSETS)")
    return REAL


@pytest.fixture(scope="session")
def real(real_assets):
    return FacePack.load(real_assets / "face_pack")
