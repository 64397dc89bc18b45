"""The least time that a step can take on a chip, and what sets it.

    compute       operations / peak rate
    memory        bytes moved / memory bandwidth
    interconnect  bytes sent to other chips / link bandwidth

Perfectly overlapped, a step takes as long as the largest of the three; nothing real reaches that, so the figures are
for comparing programs and machines, and for telling what to work on.
"""

from dataclasses import dataclass

from dynamicid_jax.training.devices import Device

NAMES = ("compute", "memory", "interconnect")


@dataclass(frozen=True)
class Roofline:
    """Seconds per step.

    Attributes:
        compute: of the arithmetic.
        memory: of reading and writing the chip's memory.
        interconnect: of what chips send each other; 0 where the chip has no known links.
    """

    compute: float
    memory: float
    interconnect: float

    @property
    def seconds(self) -> float:
        """The largest term."""
        return max(self.compute, self.memory, self.interconnect)

    @property
    def bound(self) -> str:
        """Its name."""
        return max(NAMES, key=lambda name: getattr(self, name))


def roofline(chip: Device, flops: float, nbytes: float, sent: float) -> Roofline:
    """The three times of one device's share of a step.

    Args:
        chip: its figures.
        flops: operations.
        nbytes: read from and written to memory.
        sent: bytes that go to other devices.
    """
    links = sent / chip.ici_bandwidth if chip.ici_bandwidth else 0.0
    return Roofline(flops / chip.peak_flops, nbytes / chip.hbm_bandwidth, links)
