"""docs/FIRST_REAL_RUN.md: its table and its list of sources are the code's, and a run fills the table."""

from pathlib import Path

from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.check import table
from dynamicid_jax.reproduction.paper import BEGIN, END, LINES, comparison, fill

PAGE = Path(__file__).parents[2] / "docs" / "FIRST_REAL_RUN.md"
KINDS = {
    "Base model (`--base`)": sources.BASE,
    "Published checkpoint (`--checkpoint`)": sources.CHECKPOINT,
    "Image encoder (`--image_encoder`)": sources.IMAGE_ENCODER,
    "Face networks (`--face_pack`)": sources.FACE_PACK,
    "Judges (`--judges`)": sources.JUDGES,
    "Photographs (`--photos`)": sources.PHOTOS,
}


def test_the_page_has_the_tables_of_the_code():
    text = PAGE.read_text("utf-8")
    assert comparison({}) in text
    for title, some in KINDS.items():
        assert "\n".join([f"**{title}**", "", *table(some)]) in text


def cells(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 5}


def test_cells_of_what_was_not_run_are_empty():
    measured = {"value": 0.5, "low": 0.25, "high": 0.75}
    table = cells(comparison({"published": {"single": {"single_expr": measured}}}))
    assert table["one person: Expr"] == ["0.456", "0.161", "0.500 (0.250 to 0.750)", ""]
    assert table["one person: Pose"] == ["0.878", "0.253", "", ""]
    assert table["edited: Pose"] == ["", "", "", ""]
    assert len(table) == len(LINES) + 2  # head and rule


def test_the_papers_signs_are_kept():
    """METHOD section 8: without IMR FaceSim rises, Expr and Pose fall."""
    rows = {line.name: line for line in LINES if line.ablated is not None}
    falls = {name: line.ablated < line.paper for name, line in rows.items()}
    assert falls == {
        "single_clip_t": True,
        "single_face_sim": False,
        "single_expr": True,
        "single_pose": True,
    }


def test_filling_replaces_the_table_and_nothing_else():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    table = comparison({})
    filled = fill(page, table)
    assert filled == f"before\n{table}\nafter\n"
    assert fill(filled, table) == filled
    assert fill("a page without marks\n", table) == f"a page without marks\n\n{table}\n"
