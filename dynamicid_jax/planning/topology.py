"""Machines by name: a TPU slice that is not here, or fake CPU devices.

    v5e:16x16   256 chips of a v5e slice, compiled for by libtpu without any TPU
    v5e-256     the same by its accelerator type (v4 and v5p types count two cores per chip: v5p-128 is 4x4x4)
    cpu:8       8 fake CPU devices: the whole path without libtpu; memory and times are a CPU's

`prepare` sets what libtpu and JAX read from the environment, so it comes before JAX is used.
"""

import contextlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.training.devices import DEVICES, USABLE, Device

CHIPS = {
    "v2": "TPU v2",
    "v3": "TPU v3",
    "v4": "TPU v4",
    "v5e": "TPU v5e",
    "v5p": "TPU v5p",
    "v6e": "TPU v6e",
    "tpu7x": "TPU 7x",
}
"""Generation as libtpu names it: its row in the table of devices."""

SQUARE = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
CUBE = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8"}
CUBE |= {256: "4x8x8", 512: "8x8x8", 1024: "8x8x16"}

EXPECTED = "expected such as v5e:16x16, v6e:16x16, v5p:4x4x4, v5e-256, v5p-128 or cpu:8"

# libtpu asks a machine's metadata server who it is; these three answer in its place, for every generation alike.
# A host that has TPUs keeps them: nothing here opens a device.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
}


@dataclass(frozen=True)
class Topology:
    """A machine to compile for.

    Attributes:
        name: canonical, "v5e:16x16" or "cpu:8".
        devices: as JAX sees them; not attached.
        chip: its figures; None for a CPU.
        platform: "tpu" or "cpu".
    """

    name: str
    devices: Sequence[Any]
    chip: Device | None
    platform: str

    @property
    def memory(self) -> int | None:
        """Bytes per device that a program may use."""
        return None if self.chip is None else int(self.chip.hbm_bytes * USABLE)


@dataclass(frozen=True)
class TopologyName:
    """A name taken apart; `shape` is the number of devices for "cpu", chips along each axis otherwise."""

    kind: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{'x'.join(map(str, self.shape))}"


def parse(name: str) -> TopologyName:
    """Reads a name in any of the forms above.

    Raises:
        InputError: no such name.
    """
    text = name.strip().lower().replace("v5litepod-", "v5e-")
    if match := re.fullmatch(r"cpu:([1-9]\d{0,3})", text):
        return TopologyName("cpu", (int(match[1]),))
    if match := re.fullmatch(r"(v[456][ep]?)-(\d+)", text):
        text = _by_type(match[1], int(match[2]), name)
    match = re.fullmatch(r"(\w+):([1-9]\d*(?:x[1-9]\d*){1,2})", text)
    if match is None or match[1] not in CHIPS:
        raise InputError(f"--topology {name!r}: not a machine that can be planned for; {EXPECTED}")
    return TopologyName(match[1], tuple(int(side) for side in match[2].split("x")))


def _by_type(kind: str, count: int, name: str) -> str:
    """An accelerator type as a topology."""
    table, chips = (SQUARE, count) if kind in ("v5e", "v6e") else (CUBE, count // 2)
    if kind not in CHIPS or chips not in table:
        sizes = ", ".join(f"{kind}-{n * count // max(chips, 1)}" for n in table)
        raise InputError(f"--topology {name!r}: no such slice; {kind} comes as {sizes}")
    return f"{kind}:{table[chips]}"


def prepare(name: str) -> TopologyName:
    """Sets the environment for a topology, before JAX makes its first device.

    Raises:
        InputError: no such name.
    """
    parsed = parse(name)
    os.environ.update(ENVIRONMENT)
    if parsed.kind == "cpu":
        import jax

        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_force_host_platform_device_count" not in flags:
            with contextlib.suppress(RuntimeError):  # it runs already: `find` counts its devices
                jax.config.update("jax_num_cpu_devices", parsed.shape[0])
    return parsed


def find(name: str, chip: str | None = None) -> Topology:
    """The machine of that name.

    Args:
        name: as above.
        chip: whose figures to use instead of its own, for a CPU: "v5e", "H100".

    Raises:
        InputError: no such name, or libtpu refuses it.
        MissingPartError: libtpu is not installed.
    """
    parsed = prepare(name)
    import jax

    if parsed.kind == "cpu":
        devices = jax.devices("cpu")
        if len(devices) < parsed.shape[0]:
            raise InputError(f"--topology {name}: this process has only {len(devices)} CPU devices")
        return Topology(str(parsed), devices[: parsed.shape[0]], _figures(chip), "cpu")
    figures = _figures(chip) or DEVICES[CHIPS[parsed.kind]]
    return Topology(str(parsed), _slice(parsed, name), figures, "tpu")


def _figures(chip: str | None) -> Device | None:
    if chip is None:
        return None
    from dynamicid_jax.training.devices import of_kind

    found = of_kind(chip)
    if found is None:
        raise InputError(f"--chip {chip!r}: not in the table; it has {', '.join(DEVICES)}")
    return found


def _slice(parsed: TopologyName, name: str) -> Sequence[Any]:
    """Devices of a TPU slice, in the order in which a mesh takes them."""
    from jax.experimental import topologies

    options: dict[str, Any] = {}
    if math.prod(parsed.shape) < 4:
        options["chips_per_host_bounds"] = [*parsed.shape, 1][:3]
    if parsed.kind == "v4":
        options["chip_config_name"] = "megacore"  # one device per chip, as on real slices
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=str(parsed), **options
        ).devices
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "not installed" in reason or "libtpu" in reason:
            raise MissingPartError(
                f'plan: compiling for {name} needs libtpu; pip install "dynamicid-jax[tpu]" '
                "(a machine without TPUs will do), or --topology cpu:8 for a rehearsal"
            ) from None
        raise InputError(f"--topology {name!r}: libtpu has no such slice ({reason})") from None
