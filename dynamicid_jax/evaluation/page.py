"""report.html: the tables and the sheets of pictures in one file that needs no other, and runs nothing."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dynamicid_jax.evaluation.claims import Requirement
from dynamicid_jax.evaluation.compare import COLUMNS as COMPARED
from dynamicid_jax.evaluation.compare import comparison_cells
from dynamicid_jax.evaluation.report import ASKED, COLUMNS, cells, sections, write_text

QUALITY = 88  # of the sheets' JPEGs: a megabyte for 72 pictures
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) { background: #f3f5f7 }
th { border-bottom: 1px solid #999; font-weight: 600 } dt { font-weight: 600; float: left; width: 8rem; clear: left }
dd { margin: 0 0 0 9rem; overflow-wrap: anywhere } img { max-width: 100% } figcaption { font-weight: 600 }
figure { margin: 1.5rem 0 } nav a { margin-right: 1rem }
"""


def write_page(
    out: Path,
    made: Mapping[str, Any],
    requirements: Mapping[str, Requirement],
    pictures: Mapping[str, Image.Image],
    comparison: Mapping[str, Any] | None = None,
) -> Path:
    """Writes DIR/report.html.

    Args:
        out: the folder.
        made: of `report.results`.
        requirements: in the table's order.
        pictures: sheets by kind.
        comparison: of `compare.compare`.

    Raises:
        OutputError: it cannot be written.
    """
    title = f"{made['about'].get('suite', 'suite')}: {made['about'].get('model', '')}"
    parts = [_about({**made["about"], **made["judges"]})]
    parts += [_section(heading, rows) for heading, rows in sections(made, requirements)]
    if comparison is not None:
        rows = [comparison_cells(row) for row in comparison["differences"].values()]
        other = html.escape(str(comparison["about"]["other"].get("model")))
        parts.append(f"<h2>Compared with {other}</h2>" + _table(COMPARED, rows))
    parts.append("<h2>Pictures, failures first</h2>")
    parts.append(
        "<p>Reference photos, what was asked, the picture with the faces found; gate maps where kept.</p>"
    )
    parts.append("<nav>" + "".join(f'<a href="#{kind}">{kind}</a>' for kind in pictures) + "</nav>")
    parts += [_figure(kind, sheet) for kind, sheet in pictures.items()]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>{''.join(parts)}</html>\n"
    )
    file = out / "report.html"
    write_text(file, page)
    return file


def _about(values: Mapping[str, Any]) -> str:
    items = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in values.items()
    )
    return f"<dl>{items}</dl>"


def _section(heading: str, rows: Sequence[tuple[Mapping[str, Any], Requirement]]) -> str:
    asked = any(one.bounds != Requirement("").bounds for _, one in rows)
    columns = [*COLUMNS, *ASKED] if asked else list(COLUMNS)
    return f"<h2>{html.escape(heading or 'Numbers')}</h2>" + _table(
        columns, [cells(*row, asked) for row in rows]
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(kind: str, sheet: Image.Image) -> str:
    stream = io.BytesIO()
    sheet.save(stream, format="JPEG", quality=QUALITY)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<figure id="{html.escape(kind)}"><figcaption>{html.escape(kind)}</figcaption>'
        f'<img alt="pictures of {html.escape(kind)}" src="data:image/jpeg;base64,{data}"></figure>'
    )
