"""What a chain says about its stages."""

import pytest

from dynamicid_jax.training.chain import heldout_curves, table


def _measured(step, loss, rise=None):
    line = {"step": step, "heldout/loss": loss}
    if rise is not None:
        ends = {"": rise, "_low": rise - 0.1, "_high": rise + 0.1}
        line |= {f"heldout/swapped_rise{end}": value for end, value in ends.items()}
    return line


def test_curves_put_other_peoples_faces_above_the_own_by_their_rise():
    lines = [_measured(0, 1.0, 0.0), {"step": 1, "loss": 0.9}, _measured(2, 0.5, 0.25)]
    own, swapped = heldout_curves(lines)
    assert (list(own.x), list(own.y)) == ([0, 2], [1.0, 0.5])
    assert swapped.y[1] == pytest.approx(0.75)
    assert [end[1] for end in swapped.band] == pytest.approx([0.65, 0.85])


def test_a_stage_without_faces_has_one_curve_and_one_measurement_has_none():
    assert len(heldout_curves([_measured(0, 1.0), _measured(2, 0.5)])) == 1
    assert heldout_curves([_measured(0, 1.0)]) == []


def test_the_table_has_the_loss_before_the_first_step():
    held = {"heldout/loss": 0.5} | {
        f"heldout/{name}{end}": value
        for name, value in (("change", -0.25), ("swapped_rise", 0.125))
        for end in ("", "_low", "_high")
    }
    report = {"updates": {"done": 7}, "time": {"total_seconds": 90.0}, "held-out": held}
    text = table(["one", "two"], [report, report | {"held-out": {}}], False)
    assert "| one | 7 | 1.5 | 0.7500 | 0.5000 | -0.2500 (-0.2500 to -0.2500) | +0.1250" in text
    assert "| two | 7 | 1.5 |  |  |  |  |" in text
    assert "curves.png" not in text
