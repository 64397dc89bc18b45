"""The folder to attach to a pull request: numbers, versions and commands, no pictures of anybody.

OUT/report/README.md             what this is and what to do with it
OUT/report/FIRST_REAL_RUN.md     docs/FIRST_REAL_RUN.md's table, filled, and where everything is found
OUT/report/results/              results.json of every evaluation, as it was written
OUT/report/run.json              machine, versions, hashes of models and judges, commands, seconds
OUT/report/check.md, cost.md     what was there; what training was reckoned to cost
"""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError, OutputError
from dynamicid_jax.evaluation.report import RESULTS
from dynamicid_jax.evaluation.written import read_results
from dynamicid_jax.files import save_json, write_atomically
from dynamicid_jax.inference.recipe import versions
from dynamicid_jax.jobs.job import JOB, read_job, read_state
from dynamicid_jax.reproduction.findings import table
from dynamicid_jax.reproduction.paper import (
    BEGIN,
    END,
    READING,
    SUITES,
    WHO,
    Results,
    comparison,
    fill,
    measured_rows,
)
from dynamicid_jax.reproduction.sources import KINDS
from dynamicid_jax.sweeps.results import read_claims

REPORT, PAGE = "report", "FIRST_REAL_RUN.md"


def read_all(out: Path) -> tuple[Results, dict[str, Any]]:
    """What the evaluations of a run have written: claims, and "about", by who and suite.

    Raises:
        InputError: results of something else.
    """
    claims: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {}
    for who in WHO:
        for suite in SUITES:
            if found := read_claims(out / who / suite):
                claims.setdefault(who, {})[suite] = found
                about[f"{who}, {suite}"] = read_results(out / who / suite).get("about", {})
    return claims, about


def write_report(out: Path, rehearsal: str) -> Path:
    """Writes the folder from what is there by now.

    Args:
        out: the run's folder.
        rehearsal: why its numbers are none of the real checkpoint on real faces; "" for a real run.

    Raises:
        OutputError: it cannot be written.
        InputError: results of something else lie in the run's folder.
    """
    folder = out / REPORT
    try:
        (folder / "results").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({error.strerror})") from error
    claims, about = read_all(out)
    for who, suites in claims.items():
        for suite in suites:
            shutil.copyfile(out / who / suite / RESULTS, folder / "results" / f"{who}_{suite}.json")
    for name in ("check.md", "cost.md"):
        if (out / name).is_file():
            shutil.copyfile(out / name, folder / name)
    save_json({"rehearsal": rehearsal, "about": about, **facts(out)}, folder / "run.json")
    _write(folder / PAGE, page(claims, rehearsal))
    _write(folder / "README.md", readme(claims, rehearsal))
    return folder


def page(claims: Results, rehearsal: str) -> str:
    """The document that needs no checkout: what was run, the table, and where everything is found."""
    about = "Filled by `dynamicid reproduce`; the repository's docs/FIRST_REAL_RUN.md says how it works."
    lines = [f"**Rehearsal, not a real run: {rehearsal}.**", ""] if rehearsal else []
    lines += ["# The first real run", "", about, "", "## The table", "", READING, ""]
    lines += [comparison(claims), "", "## What is needed, and under which licence"]
    for title, some in KINDS.items():
        lines += ["", f"**{title}**", "", *table(some)]
    return "\n".join(lines) + "\n"


def check_page(file: Path) -> None:
    """Whether a document has a table to fill.

    Raises:
        InputError: it cannot be read, or has none.
    """
    _marked(file)


def fill_page(out: Path, file: Path) -> None:
    """Fills a document's table, such as docs/FIRST_REAL_RUN.md of a checkout, with what was measured by now.

    Raises:
        InputError: it cannot be read, or has no table.
        OutputError: it cannot be written.
    """
    _write(file, fill(_marked(file), comparison(read_all(out)[0])))


def _marked(file: Path) -> str:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(f"--fill {file}: cannot be read ({reason})") from None
    if not 0 <= text.find(BEGIN) < text.find(END):
        raise InputError(
            f"--fill {file}: has no table between {BEGIN} and {END}; give docs/{PAGE} of a checkout"
        )
    return text


def facts(out: Path) -> dict[str, Any]:
    """Machine, versions, and per job its commands, seconds and state."""
    import jax

    jobs = {}
    for who in WHO:
        if (out / who / JOB).is_file():
            state = read_state(out / who)
            jobs[who] = {
                "commands": {one.name: list(one.words) for one in read_job(out / who).commands},
                "status": state.status,
                "seconds": dict(state.seconds),
                "error": state.error,
            }
    devices = [str(device.device_kind) for device in jax.devices()]
    return {
        "machine": {"system": platform.platform(), "devices": devices},
        "versions": versions(),
        "jobs": jobs,
    }


def readme(claims: Results, rehearsal: str) -> str:
    """What to do with the folder."""
    ran = [f"{who}: {', '.join(suites)}" for who, suites in claims.items()]
    lines = [
        "# Report of a run of `dynamicid reproduce`",
        "",
        f"Suites run: {'; '.join(ran) or 'none yet'}. {len(measured_rows(claims))} rows of the table have a number.",
        "",
    ]
    if rehearsal:
        lines += [
            f"This is a rehearsal ({rehearsal}): do not put its numbers into the documentation."
        ]
    else:
        lines += [
            "Attach this folder to a pull request that fills docs/FIRST_REAL_RUN.md (the same command with "
            "`--fill docs/FIRST_REAL_RUN.md` in a checkout does that; nothing is run again). It holds numbers, "
            "versions, hashes and the commands with your folders' names (run.json: look whether these may be seen), "
            "and no picture of anybody. The evaluations' own report.html have pictures: share them if everybody "
            "shown agrees."
        ]
    return "\n".join(lines) + "\n"


def _write(file: Path, text: str) -> None:
    write_atomically(file, lambda stream: stream.write(text.encode()))


def summary(out: Path) -> Mapping[str, str]:
    """State of each job, one line."""
    lines = {}
    for who in WHO:
        if (out / who / JOB).is_file():
            state = read_state(out / who)
            lines[who] = state.status + (f": {state.error}" if state.error else "")
    return lines
