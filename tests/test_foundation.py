"""The house: light imports, honest dependencies, strict test settings, a tidy tree."""

import ast
import re
import socket
import subprocess
import sys
import tomllib
import warnings
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from built_wheel import build_wheel, tree
from jaxtyping import TypeCheckError

import dynamicid_jax

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dynamicid_jax"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = {"jax", "flax", "torch", "transformers", "insightface", "onnxruntime", "cv2", "PIL"}


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# --- imports and dependencies


@pytest.mark.parametrize(
    "statement",
    [
        "import dynamicid_jax",
        "from dynamicid_jax.cli.main import build_parser; build_parser().format_help()",
    ],
)
def test_imports_nothing_heavy(statement: str) -> None:
    done = python("-c", f"{statement}\nimport sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module name that a file imports, and whether it does so when imported itself."""
    tree = ast.parse(path.read_text())
    nested = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node not in nested) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((f"{node.module}.{name.name}", node not in nested) for name in node.names)


@pytest.mark.parametrize(
    ("folder", "roots", "own"),
    [
        ("models", {"jax", "flax", "optax", "numpy", "jaxtyping"}, {"models"}),
        ("diffusion", {"jax", "optax", "numpy", "jaxtyping"}, {"models.configs", "diffusion"}),
    ],
)
def test_networks_and_diffusion_run_on_a_bare_accelerator_machine(
    folder: str, roots: set[str], own: set[str]
) -> None:
    files = sorted((PACKAGE / folder).rglob("*.py"))
    assert len(files) > 3
    ours = {f"dynamicid_jax.{name}" for name in own | {"types", "errors"}}
    for path in files:
        for name, _ in imports(path):
            if name.startswith("dynamicid_jax"):
                assert any(f"{name}.".startswith(f"{one}.") for one in ours), f"{path}: {name}"
            else:
                root = name.partition(".")[0]
                assert root in roots | sys.stdlib_module_names, f"{path}: {name}"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(lines: list[str]) -> set[str]:
    return {canonical(re.match(r"[\w.-]+", line).group()) for line in lines}


# {folder: extra}
EXTRA_OF = {
    "data": "train",
    "training": "train",
    "planning": "train",
    "app": "app",
}


def test_every_import_is_a_declared_dependency() -> None:
    """What is imported with a module is in the core install, or in its folder's own extra; others where used."""
    core = requirements(PROJECT["project"]["dependencies"])
    optional = PROJECT["project"]["optional-dependencies"].values()
    extras = requirements([line for lines in optional for line in lines])
    homes = packages_distributions()
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        extra = EXTRA_OF.get(path.relative_to(PACKAGE).parts[0])
        own = requirements(PROJECT["project"]["optional-dependencies"][extra]) if extra else set()
        for name, at_import in imports(path):
            root = name.partition(".")[0]
            if root in sys.stdlib_module_names or root in {"dynamicid_jax", "jaxlib"}:
                continue
            allowed = core | own if at_import else core | extras
            homes_of_root = {
                canonical(home) for home in homes.get(root, [root])
            }  # not installed: its own name
            assert homes_of_root & allowed, f"{path.relative_to(ROOT)} imports {name}"
            seen |= homes_of_root
    assert {"jax", "flax", "numpy"} <= seen


def test_constraints_pin_what_tests_install() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    names = {canonical(pin.partition("==")[0]) for pin in pins}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = (
        PROJECT["project"]["dependencies"] + extras["test"] + extras["convert"] + extras["train"]
    )
    assert requirements(wanted) <= names


# --- settings of the test run


def test_eight_cpu_devices_in_float32() -> None:
    assert [device.platform for device in jax.devices()] == ["cpu"] * 8
    assert jnp.asarray(np.ones(2)).dtype == jnp.float32


def test_ranks_are_not_promoted() -> None:
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones(3) + jnp.ones((2, 3))


def test_shapes_are_checked_at_run_time() -> None:
    from dynamicid_jax.models.gate import raw_gate

    good = {"query": (2, 6, 3, 4), "face_key": (2, 1, 4, 3, 4), "mix": (1, 1)}
    raw_gate(**{name: jnp.ones(shape) for name, shape in good.items()})
    for name, shape in (("query", (2, 6, 3)), ("face_key", (2, 1, 4, 2, 4)), ("mix", (2, 1))):
        bad = good | {name: shape}
        with pytest.raises(TypeCheckError, match=name):
            raw_gate(**{key: jnp.ones(size) for key, size in bad.items()})


def test_warnings_from_the_package_are_errors() -> None:
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn_explicit("ours", UserWarning, "x.py", 1, module="dynamicid_jax.models.x")
    with pytest.warns(UserWarning, match="theirs"):
        warnings.warn_explicit("theirs", UserWarning, "x.py", 1, module="elsewhere")


def test_no_network() -> None:
    for target in (("192.0.2.1", 80), ("name.invalid", 80)):
        with pytest.raises(pytest.fail.Exception, match="without network"):
            socket.create_connection(target, timeout=1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    left, right = socket.socketpair()
    left.close()
    right.close()


# --- the tree


def test_tree_is_small() -> None:
    sizes = {path: path.stat().st_size for path in tree()}
    assert {path: size for path, size in sizes.items() if size > 16 * 2**20} == {}
    goldens = sum(
        size for path, size in sizes.items() if path.is_relative_to(ROOT / "tests/golden")
    )
    assert 0 < goldens <= 5_000_000


def test_no_file_names_a_machine() -> None:
    paths = re.compile(r"(?<![\w.:/-])/(?:home|root|work|opt|mnt|srv|Users)/\w|[A-Z]:\\Users")
    found = []
    for path in tree():
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if paths.search(line)
        ]
    assert found == []


def test_versions_agree() -> None:
    assert PROJECT["project"]["version"] == dynamicid_jax.__version__
    assert f"\nversion: {dynamicid_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    files = {path.relative_to(ROOT) for path in tree()}
    wheel = build_wheel(tmp_path)
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {file.as_posix() for file in files if file.parts[0] == PACKAGE.name}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert any(name.endswith("/licenses/LICENSE") for name in names)
