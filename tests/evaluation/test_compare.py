"""Paired comparisons: what is common to both cancels, what does not compare is refused."""

import json

import numpy as np
import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.claims import Requirement
from dynamicid_jax.evaluation.compare import compare, comparison_table, write_comparison
from dynamicid_jax.evaluation.estimates import Measured, paired_difference
from dynamicid_jax.evaluation.page import write_page
from dynamicid_jax.evaluation.report import results, write_results

ROWS = {
    "sim": Requirement("FaceSim", better="higher"),
    "error": Requirement("<error>", better="lower"),
    "other": Requirement("neither"),
}


def written(folder, numbers, **about):
    """An evaluation's files."""
    about = {"suite": "single", "run": "single 1", "judges": "j", "model": folder.name, **about}
    folder.mkdir()
    made = results(numbers, {}, ROWS, about, {})
    write_results(folder, made, ROWS, numbers)
    return made


def numbers(shift, people=range(60)):
    """People differ by far more than the two models do."""
    own = np.random.default_rng(0).normal(0, 5, 100)
    values = [(who, float(own[who]) + shift) for who in people for _ in range(2)]
    flat = [(who, 1.0) for who in people]
    return {
        "sim": Measured("mean", (values,)),
        "error": Measured("difference", (values, [(who, 0.0) for who, _ in values])),
        "other": Measured("mean", (flat,)),
    }


def test_a_small_common_difference_is_real(tmp_path):
    written(tmp_path / "a", numbers(0.1))
    written(tmp_path / "b", numbers(0.0, range(10, 80)))
    made = compare(tmp_path / "a", tmp_path / "b")
    row = made["differences"]["sim"]
    assert row["people"] == 50
    assert (row["low"], row["value"], row["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert (row["real"], row["winner"]) == (True, "this")
    assert made["differences"]["error"]["winner"] == "other"  # lower is better
    assert (made["differences"]["other"]["real"], made["differences"]["other"]["winner"]) == (
        False,
        "",
    )
    text = write_comparison(tmp_path / "a", made)
    assert "| FaceSim |" in text
    assert comparison_table(json.loads((tmp_path / "a/comparison.json").read_text())) == text


def test_one_person_shows_no_difference(tmp_path):
    written(tmp_path / "a", numbers(0.1))
    written(tmp_path / "b", numbers(0.0, [3]))
    row = compare(tmp_path / "a", tmp_path / "b")["differences"]["sim"]
    assert row["people"] == 1
    assert (row["real"], row["winner"]) == (False, "")


def test_noise_is_not_a_difference():
    dice = np.random.default_rng(1)
    one, two = (Measured("mean", (list(enumerate(dice.normal(size=80))),)) for _ in range(2))
    assert not paired_difference(one, two).clear


def test_kept_values_give_the_same_numbers(tmp_path):
    found = numbers(0.3)
    found["gap"] = Measured("mean", ([(0, 1.0), (1, float("nan"))],))
    for one in found.values():
        again = Measured.from_json(json.loads(json.dumps(one.to_json())))
        assert again.estimate == one.estimate
    with pytest.raises(ValueError, match="median"):
        Measured.from_json({"function": "median", "samples": []})


def test_what_does_not_compare_is_refused(tmp_path):
    written(tmp_path / "a", numbers(0))
    written(tmp_path / "b", numbers(0), run="single 2")
    written(tmp_path / "c", numbers(0), judges="k")
    with pytest.raises(
        InputError, match="run is 'single 2', here 'single 1'; expected the same suite"
    ):
        compare(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="judges is 'k', here 'j'"):
        compare(tmp_path / "a", tmp_path / "c")
    with pytest.raises(InputError, match=r"holds no values\.json; judge its pictures first"):
        compare(tmp_path / "a", tmp_path)
    (tmp_path / "c" / "values.json").write_text('{"about": {}, "values": {"sim": 3}}')
    with pytest.raises(InputError, match="not written by this command"):
        compare(tmp_path / "a", tmp_path / "c")


def test_the_page_needs_no_other_file(tmp_path):
    from PIL import Image

    made = written(tmp_path / "a", numbers(0.1))
    written(tmp_path / "b", numbers(0))
    sheet = Image.new("RGB", (40, 30), "red")
    both = compare(tmp_path / "a", tmp_path / "b")
    page = write_page(tmp_path / "a", made, ROWS, {"single": sheet}, both).read_text()
    assert "data:image/jpeg;base64," in page
    assert "&lt;error&gt;" in page
    assert "Compared with b" in page
    for outside in ("http", "<script", 'src="single', "<link"):
        assert outside not in page
