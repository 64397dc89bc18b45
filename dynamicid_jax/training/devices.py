"""What a device can do at most: the one table behind MFU and the planner's roofline.

Sources: for TPUs the "System architecture" tables on the page that docs.cloud.google.com/tpu/docs has for each
generation, v2 to v6e and tpu7x; for NVIDIA the data sheet of each product, dense figures (data sheets print twice as
much, "with sparsity"). Rates are per JAX device, which is a chip, except on v2, v3 and 7x, whose chips are two devices.

Memory is what is soldered on. XLA keeps 2 to 6 % of it for itself (a v5e offers 15.75 of 16 GiB), so a plan should stay
below `USABLE` of it.
"""

from dataclasses import dataclass
from typing import Any

from dynamicid_jax.types import Number

GIB = 2**30

USABLE = 0.94
"""Share of `hbm_bytes` that a program may count on."""


@dataclass(frozen=True)
class Device:
    """Peak figures of one JAX device.

    Attributes:
        name: what people call it.
        peak_flops: bf16 products a second (dense, two operations per multiply-add).
        hbm_bytes: memory.
        hbm_bandwidth: bytes a second.
        ici_bandwidth: bytes a second that the device sends to all its neighbours together, one way (ICI; NVLink on
            GPUs); None where there is no such link.
    """

    name: str
    peak_flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    ici_bandwidth: float | None = None


def _table(*rows: tuple[str, Number, Number, Number, Number | None]) -> dict[str, Device]:
    """Rows of name, bf16 TFLOP/s, GiB, GB/s of memory, GB/s of links one way."""
    return {
        name: Device(name, tflops * 1e12, int(gib * GIB), gb * 1e9, links and links * 1e9)
        for name, tflops, gib, gb, links in rows
    }


DEVICES: dict[str, Device] = _table(
    ("TPU v2", 22.5, 8, 350, 62),
    ("TPU v3", 61.5, 16, 450, 82),
    ("TPU v4", 275, 32, 1200, 300),
    ("TPU v5e", 197, 16, 819, 200),
    ("TPU v5p", 459, 95, 2765, 600),
    ("TPU v6e", 918, 32, 1638, 400),
    ("TPU 7x", 1153.5, 96, 3690, 300),
    ("A100 40GB", 312, 40, 1555, 300),
    ("A100 80GB", 312, 80, 2039, 300),
    ("A100 80GB PCIe", 312, 80, 1935, None),
    ("H100", 989.4, 80, 3350, 450),
    ("H100 PCIe", 756, 80, 2000, None),
    ("H100 NVL", 835.5, 94, 3900, 300),
    ("GH200", 989.4, 96, 4000, 450),
    ("H200", 989.4, 140.4, 4800, 450),
    ("H200 NVL", 835.5, 140.4, 4800, 450),
    ("B200", 2250, 179, 8000, 900),
    ("L4", 121, 24, 300, None),
    ("L40S", 362, 48, 864, None),
)
"""Name: figures. TPU slices are named as topologies are ("v5e:16x16" is of "TPU v5e")."""

_KINDS = (
    ("TPU v6 lite", "TPU v6e"),
    ("TPU v5 lite", "TPU v5e"),
    ("TPU v5", "TPU v5p"),  # JAX's plain "TPU v5" is the p
    ("TPU7x", "TPU 7x"),
    ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
    ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
    ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
    ("NVIDIA A100-PCIE-40GB", "A100 40GB"),
    ("NVIDIA H100 80GB HBM3", "H100"),
    ("NVIDIA H100 PCIe", "H100 PCIe"),
    ("NVIDIA H100 NVL", "H100 NVL"),
    ("NVIDIA GH200", "GH200"),
    ("NVIDIA H200 NVL", "H200 NVL"),
    ("NVIDIA H200", "H200"),
    ("NVIDIA B200", "B200"),
    ("NVIDIA L40S", "L40S"),
    ("NVIDIA L4", "L4"),
)
"""How `device_kind` begins, the longer of two that both fit first, and what it is in `DEVICES`."""


def of_kind(kind: str) -> Device | None:
    """The figures for a `device_kind`, a name of `DEVICES`, or a short name such as "v5e"; None where unknown."""
    wanted = kind.strip().lower()
    for device in DEVICES.values():
        if wanted in (device.name.lower(), device.name.lower().removeprefix("tpu ")):
            return device
    for beginning, name in _KINDS:
        # whole words, so that an "L40" is not taken for an "L4"
        if f"{wanted} ".startswith(f"{beginning.lower()} "):
            return DEVICES[name]
    return None


def of(device: Any) -> Device | None:
    """The figures of a `jax.Device`; None where they are not known, as for a CPU."""
    return of_kind(str(device.device_kind))
