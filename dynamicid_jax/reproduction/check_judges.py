"""Suites, and the judges that they name: every file with its hash, then every network with its contract."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dynamicid_jax.errors import DynamicIDError, InputError, one_line
from dynamicid_jax.evaluation.clip_judge import ClipJudge
from dynamicid_jax.evaluation.judge_files import JudgeFile, JudgeSet, PlainFile
from dynamicid_jax.evaluation.judges import Judges
from dynamicid_jax.evaluation.suite import Suite, read_suite
from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.check_model import see_tokenizer
from dynamicid_jax.reproduction.findings import Finding, problem_of
from dynamicid_jax.reproduction.inputs import Inputs


def read_suites(inputs: Inputs) -> tuple[list[Suite], list[Finding]]:
    """The suites that can be run on the people given, and a finding each."""
    suites, findings = [], []
    for name in inputs.suites:
        problem = ""
        try:
            suite = read_suite(name)
            if inputs.cast not in suite.judges:
                people = "photographed" if inputs.photos else "made-up"
                raise InputError(f"suite {name} is not for {people} people; give another one")
            suites.append(suite)
        except DynamicIDError as error:
            problem = one_line(error)
        findings.append(Finding(f"suite {Path(name).stem}", "--suites", name, problem))
    return suites, findings


def judge_findings(inputs: Inputs, suites: Sequence[Suite]) -> Iterator[Finding]:
    """A finding per file of a judge, and one for what the networks of a suite expect."""
    folder = inputs.opened_judges
    known: dict[tuple[str, str], str] = {}
    for judges in _different([suite.judges[inputs.cast] for suite in suites]):
        problems = []
        for name, one in judges.files().items():
            problem = _of_file(one, folder)
            problems.append(problem)
            if known.setdefault((one.file, one.sha256), name) == name:
                found = "" if problem else str(folder)
                where = _sources(name, inputs)
                yield Finding(f"{name} judge {one.file}", "--judges", found, problem, where)
        if folder is not None and not any(problems):
            problem = problem_of(partial(_open, judges, folder))
            if problem:
                yield Finding("judges", "--judges", str(folder), problem, sources.JUDGES)


def _different(some: Sequence[JudgeSet]) -> list[JudgeSet]:
    kept: list[JudgeSet] = []
    for one in some:
        if one not in kept:
            kept.append(one)
    return kept


def _of_file(one: PlainFile | JudgeFile, folder: Path | None) -> str:
    if folder is None:
        return "no folder of judges given"
    path = folder / one.file
    if not path.is_file():
        return f"not in {folder}" + (f" (sha256 {one.sha256[:12]}...)" if one.sha256 else "")
    if not one.sha256:
        return ""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    told = f"sha256 is {found[:12]}..., expected {one.sha256[:12]}..."
    return "" if found == one.sha256 else f"{told}; numbers of other judges do not compare"


def _open(judges: JudgeSet, folder: Path) -> None:
    """Opens the networks, which compares them with their contract."""
    opened = Judges(judges, folder)
    if judges.clip is None:
        return
    see_tokenizer(folder / judges.clip.tokenizer)
    if Path(judges.clip.image.file).suffix != ".safetensors":  # a model's own are written anew
        ClipJudge(judges.clip, folder, folder / "no journal", opened.fingerprint)


def _sources(name: str, inputs: Inputs) -> tuple[sources.Source, ...]:
    if inputs.photos is None:
        return (sources.OWN_PACK,)
    return (sources.JUDGE[name.partition(" ")[0]],)
