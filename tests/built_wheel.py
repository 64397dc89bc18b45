"""The package as a wheel, built from a copy of the files that are, or would be, tracked."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def tree() -> list[Path]:
    """Files that are, or would be, tracked."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [
        path
        for name in done.stdout.decode().split("\0")
        if name and (path := ROOT / name).is_file()
    ]


def build_wheel(folder: Path) -> Path:
    """Builds it in a folder, with nothing fetched."""
    source = folder / "source"  # setuptools leaves its build folder there
    for path in tree():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"),
        *("--no-build-isolation", "--wheel-dir", str(folder), str(source)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel
