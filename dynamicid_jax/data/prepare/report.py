"""What was kept, what was not, and why: report.json and the lines that `prepare` prints."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dynamicid_jax.data.prepare.layouts import terms_of
from dynamicid_jax.data.prepare.records import Outcome, Sorting, people_of
from dynamicid_jax.data.prepare.scan import SUFFIXES, Scan, natural
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.prepare.splits import SPLITS, VALIDATION
from dynamicid_jax.data.record import DatasetInfo

REPORT = "report.json"
NAMED = 5  # of many, a line names this many
REPEATED = 0.25  # share of a crop beyond the photo's edge that is worth a word


def make_report(
    sorting: Sorting,
    found: Scan,
    settings: Settings,
    info: DatasetInfo,
    *,
    request: str,
    seconds: float,
    looked: int,
) -> dict[str, Any]:
    """Everything as JSON values; no embedding, no picture.

    Args:
        sorting: the outcomes.
        found: the photographs.
        settings: the request.
        info: of the dataset, with its counts.
        request: the request's short name, by which a second start knows that nothing is left to do.
        seconds: of this start.
        looked: photographs that this start looked at; the others were in the journal.
    """
    kept, rejected = sorting.kept(), sorting.rejected()
    people = {
        person: _person(outcomes, found)
        for person, outcomes in people_of(sorting.outcomes).items()
        if person
    }
    sources = Counter(one.described.source for one in kept if one.described.prompt)
    return {
        "request": request,
        "layout": found.layout,
        "photos": len(sorting.outcomes),
        "kept": len(kept),
        "rejected": dict(Counter(one.reason for one in rejected)),
        "people": len(people),
        "splits": {name: dict(info.splits).get(name, 0) for name in SPLITS},
        "people_of_splits": {name: dict(info.persons).get(name, 0) for name in SPLITS},
        "agreement_limit": round(sorting.chosen.limit, 4),
        "landmark_set": info.landmark_set,
        "expressions": dict(Counter(one.described.expression or "unknown" for one in kept)),
        "expression_sources": dict(sources),
        "warnings": warnings_of(sorting, found, people),
        "seconds": round(seconds, 1),
        "looked_at": looked,
        "face_pack": list(info.face_pack),
        "settings": settings.asked(),
        "by_person": people,
        "kept_pictures": [_kept(one) for one in kept],
        "rejected_pictures": [_rejected(one) for one in rejected],
        "ignored_files": found.ignored,
    }


def warnings_of(
    sorting: Sorting, found: Scan, people: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What the owner of the photographs should know, one line each."""
    kept = sorting.kept()
    lines = []
    none = [name for name, one in people.items() if not one["kept"] and one["consent"] != "refused"]
    single = [name for name, one in people.items() if one["kept"] == 1]
    if none:
        lines.append(f"no usable photo of {_named(none)}: left out")
    if single:
        lines.append(
            f"one usable photo only of {_named(single)}: anchoring can use it, reconfiguration needs two of a person"
        )
    for name in ("licence", "consent"):
        bare = {
            one.photo.person or one.photo.source
            for one in kept
            if not getattr(terms_of(found, one.photo), name)
        }
        if bare:
            lines.append(
                f"no {name} is recorded for {_named(sorted(bare, key=natural))}: write person.json or give --{name}"
            )
    for one, other in sorting.chosen.same:
        lines.append(
            f"{one} and {other} look like the same person: they stay in one split; join the folders"
        )
    reported = [one.photo.source for one in kept if one.text]
    if reported:
        lines.append(f"kept although they do not agree with their person: {_named(reported)}")
    repeated = [one for one in kept if one.beyond > REPEATED]
    if len(repeated) > len(kept) / 10:
        lines.append(
            f"{len(repeated)} of {len(kept)} crops reach beyond their photo for more than {REPEATED:.0%} of their "
            "area, filled by repeating its edge; a smaller --crop_factor or --inside avoids that"
        )
    speechless = [
        one.photo.source for one in kept if found.layout == "captions" and not one.photo.text
    ]
    if speechless:
        lines.append(f"no caption for {_named(speechless)}: the face prompt stands in, or nothing")
    unseen = [
        name
        for name in found.ignored
        if name.endswith("/") or Path(name).suffix.lower() in SUFFIXES
    ]
    if unseen:
        lines.append(f"not looked at, since only person/photo counts: {_named(unseen)}")
    if kept and not any(one.split == VALIDATION for one in kept):
        lines.append("nothing is held out: no held-out loss can be measured on this dataset")
    return lines


def summary(report: Mapping[str, Any]) -> list[str]:
    """The printed lines."""
    splits = ", ".join(
        f"{name} {report['splits'][name]} of {_count(report['people_of_splits'][name], 'person', 'people')}"
        if report["people"]
        else f"{name} {report['splits'][name]}"
        for name in SPLITS
    )
    lines = [
        f"kept {report['kept']} of {_count(report['photos'], 'photo', 'photos')}"
        + (f" of {_count(report['people'], 'person', 'people')}" if report["people"] else ""),
        f"splits: {splits}",
    ]
    if report["rejected"]:
        counts = ", ".join(f"{reason} {count}" for reason, count in report["rejected"].items())
        lines.insert(1, f"rejected: {counts}")
    if report["expression_sources"]:
        order = sorted(report["expressions"].items(), key=lambda pair: -pair[1])
        words = ", ".join(f"{word} {count}" for word, count in order)
        lines.append(f"expressions: {words} (from: {', '.join(report['expression_sources'])})")
    return lines


def _person(outcomes: Sequence[Outcome], found: Scan) -> dict[str, Any]:
    kept = [one for one in outcomes if one.kept]
    terms = terms_of(found, outcomes[0].photo)
    agreements = [one.agreement for one in kept if math.isfinite(one.agreement)]
    agreement = (
        {"median": round(float(np.median(agreements)), 3), "lowest": round(min(agreements), 3)}
        if agreements
        else None
    )
    return {
        "photos": len(outcomes),
        "kept": len(kept),
        "splits": dict(Counter(one.split for one in kept)),
        "agreement": agreement,
        "licence": terms.licence,
        "consent": "refused" if terms.refused else terms.consent,
    }


def _kept(one: Outcome) -> dict[str, Any]:
    return {
        "photo": one.photo.source,
        "split": one.split,
        "faces": one.faces,
        "agreement": _number(one.agreement),
        "face_prompt": one.described.prompt,
        "expression_certainty": _number(one.certainty) if one.described.source == "judge" else None,
        "beyond_edges": _number(one.beyond),
    } | ({"note": one.text} if one.text else {})


def _rejected(one: Outcome) -> dict[str, Any]:
    return {
        "photo": one.photo.source,
        "person": one.photo.person,
        "reason": one.reason,
        "text": one.text,
        "agreement": _number(one.agreement),
        "looks_like": one.looks_like or None,
    }


def _number(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _named(names: Sequence[str]) -> str:
    """Some names, and how many more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
