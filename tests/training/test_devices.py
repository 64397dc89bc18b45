from types import SimpleNamespace

import jax
import pytest

from dynamicid_jax.training.devices import DEVICES, of, of_kind


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("TPU v4", "TPU v4"),
        ("TPU v5 lite", "TPU v5e"),
        ("TPU v5e", "TPU v5e"),
        ("TPU v5", "TPU v5p"),
        ("TPU v5p", "TPU v5p"),
        ("TPU v6 lite", "TPU v6e"),
        ("TPU7x", "TPU 7x"),
        ("v6e", "TPU v6e"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 80GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA L4", "L4"),
    ],
)
def test_devices_are_known_by_what_jax_calls_them(kind: str, name: str) -> None:
    assert of(SimpleNamespace(device_kind=kind)) == DEVICES[name]


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA L40", "TPU v55", "", "NVIDIA H1000"])
def test_others_are_not_guessed(kind: str) -> None:
    assert of_kind(kind) is None


def test_a_cpu_has_no_peak() -> None:
    assert of(jax.devices()[0]) is None


def test_figures_agree_with_pod_totals_of_the_same_pages() -> None:
    # Google's pages also print totals per pod, from which the figures per chip can be had another way.
    assert 256 * DEVICES["TPU v5e"].peak_flops == pytest.approx(50.63e15, rel=0.01)
    assert 256 * DEVICES["TPU v6e"].peak_flops == pytest.approx(234.9e15, rel=0.01)
    assert 4096 * DEVICES["TPU v4"].peak_flops == pytest.approx(1.1e18, rel=0.03)
    for device in DEVICES.values():
        # of every kind sold, between 80 and 700 operations go to one byte of memory traffic
        assert 40 < device.peak_flops / device.hbm_bandwidth < 700, device.name
