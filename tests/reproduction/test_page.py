"""docs/FIRST_REAL_RUN.md: its table and its list of sources are the code's, and a run fills the table."""

from pathlib import Path

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.reproduction.findings import table
from dynamicid_jax.reproduction.paper import (
    BEGIN,
    END,
    LINES,
    READING,
    comparison,
    fill,
    published_differences,
)
from dynamicid_jax.reproduction.report import check_page, fill_page, page
from dynamicid_jax.reproduction.sources import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "FIRST_REAL_RUN.md"


def test_the_page_has_the_tables_of_the_code():
    for text in (PAGE.read_text("utf-8"), page({}, rehearsal="")):
        assert comparison({}) in text
        assert READING in text
        for title, some in KINDS.items():
            assert "\n".join([f"**{title}**", "", *table(some)]) in text


def cells(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 6}


def test_cells_of_what_was_not_run_are_empty():
    measured = {"value": 0.5, "low": 0.25, "high": 0.75}
    table = cells(comparison({"published": {"single": {"single_expr": measured}}}))
    assert table["one person: Expr"] == ["0.456", "0.422", "0.161", "0.500 (0.250 to 0.750)", ""]
    assert table["one person: Pose"] == ["0.878", "0.862", "0.253", "", ""]
    assert table["edited: Pose"] == [""] * 5
    assert len(table) == len(LINES) + 2  # head and rule


def test_the_papers_signs_are_kept():
    """METHOD section 8: without SAA, and without IMR, FaceSim rises and all else falls; IMR's row falls furthest."""
    saa, imr = published_differences()["without_saa"], published_differences()["without_imr"]
    for row in (saa, imr):
        assert {name: value > 0 for name, value in row.items()} == {
            "single_clip_t": False,
            "single_face_sim": True,
            "single_expr": False,
            "single_pose": False,
        }
    assert saa["single_expr"] == -0.034
    assert all(abs(imr[name]) > abs(saa[name]) for name in ("single_expr", "single_pose"))


def test_filling_replaces_the_table_and_nothing_else():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    table = comparison({})
    filled = fill(page, table)
    assert filled == f"before\n{table}\nafter\n"
    assert fill(filled, table) == filled


def test_a_document_is_filled_only_where_it_has_a_table(tmp_path):
    there = tmp_path / "page.md"
    there.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    fill_page(tmp_path / "out", there)
    assert there.read_text() == f"before\n{comparison({})}\nafter\n"
    check_page(PAGE)
    there.write_text(f"{END} {BEGIN}")
    for file, message in ((there, "has no table"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(InputError, match=message):
            check_page(file)
