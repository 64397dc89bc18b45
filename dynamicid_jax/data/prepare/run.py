"""The whole of `dynamicid prepare` in one page; the package's docstring names the steps."""

import hashlib
import io
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dynamicid_jax.cache import cache_folder
from dynamicid_jax.data import store
from dynamicid_jax.data.dataset import write_dataset
from dynamicid_jax.data.prepare import layouts, splits
from dynamicid_jax.data.prepare.checks import Networks, check_settings, check_texts, open_networks
from dynamicid_jax.data.prepare.journal import Journal, stamp
from dynamicid_jax.data.prepare.records import Sorting, make_records, sort_out
from dynamicid_jax.data.prepare.report import REPORT, make_report
from dynamicid_jax.data.prepare.scan import Photo, Scan
from dynamicid_jax.data.prepare.settings import Settings
from dynamicid_jax.data.prepare.sheet import draw_sheets
from dynamicid_jax.data.prepare.workers import Progress, look_at_all
from dynamicid_jax.data.record import LANDMARK_SETS, DatasetInfo
from dynamicid_jax.errors import FaceError, InputError, OutputError


@dataclass(frozen=True)
class Prepared:
    """What a preparation leaves.

    Attributes:
        report: as report.json holds it.
        files: the report's files.
        again: whether everything was there already, and nothing was done.
    """

    report: dict[str, Any]
    files: tuple[str, ...]
    again: bool = False


def prepare(settings: Settings, progress: Progress = lambda what, done, total: None) -> Prepared:
    """Makes a dataset out of photographs; interrupted and started again, it goes on where it was.

    Raises:
        InputError: the request or the photographs are not usable, or `out` holds another dataset.
        MissingPartError: the face pack lacks a network.
        WeightsError: a network's file is damaged.
        FaceError: no photograph is left.
        OutputError: something cannot be written.
    """
    started = time.monotonic()
    check_settings(settings)
    found, refused = _with_consent(layouts.scan(settings))
    _check_place(settings, found)
    check_texts(found)
    networks = open_networks(settings, found)
    request = _request(settings, found, networks)
    done = _finished(settings, request)
    if done is not None:
        return done
    looking = settings.looking(found.whole, dict(networks.hashes))
    journal = Journal(work_folder(settings), looking)
    mark = journal.folder / "writing"  # the dataset at `out`, if without a report, is ours
    if not (mark.exists() and not (store.as_path(settings.out) / REPORT).exists()):
        store.check_out(settings.out, settings.overwrite)
    looked = look_at_all(
        found.photos,
        settings,
        journal,
        whole=found.whole,
        landmark_set=networks.landmark_set,
        progress=progress,
    )
    sorting = sort_out(found, refused, journal, settings)
    _split(sorting, settings)
    mark.touch()
    info = _write(sorting, found, journal, settings, _info(settings, networks, sorting), progress)
    report = make_report(
        sorting,
        found,
        settings,
        info,
        request=request,
        seconds=time.monotonic() - started,
        looked=looked,
    )
    files = _write_report(report, sorting, journal, settings)
    mark.unlink()
    if not settings.keep_work:
        journal.remove()
    return Prepared(report, files)


def work_folder(settings: Settings) -> Path:
    """Where finished looks are kept: beside a local dataset, else in the cache folder."""
    if settings.work:
        return Path(settings.work).expanduser()
    if not store.is_local(settings.out):
        name = hashlib.sha256(settings.out.encode()).hexdigest()[:24]
        return cache_folder("datasets") / f"prepare-{name}"
    out = Path(settings.out).expanduser().absolute()
    return out.parent / f".{out.name}.prepare"


def _with_consent(found: Scan) -> tuple[Scan, list[Photo]]:
    """The photographs that may be looked at, and those whose people did not agree."""
    refused = [photo for photo in found.photos if layouts.terms_of(found, photo).refused]
    if len(refused) == len(found.photos):
        raise InputError(f"--photos {found.root}: consent is refused for all {len(refused)} photos")
    away = {photo.key for photo in refused}
    return replace(found, photos=[one for one in found.photos if one.key not in away]), refused


def _check_place(settings: Settings, found: Scan) -> None:
    """Raises `InputError` where the dataset would become one more person's folder."""
    if store.is_local(settings.out) and found.layout != "captions":
        out = Path(settings.out).expanduser().resolve()
        if out.is_relative_to(found.root.resolve()):
            raise InputError(
                f"--out {settings.out}: lies among the photographs; choose a folder outside"
            )


def _request(settings: Settings, found: Scan, networks: Networks) -> str:
    """A short name for what is asked: settings, networks, and every photograph as it is."""
    parts = settings.asked() | {"networks": networks.hashes}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for photo in found.photos:
        terms = layouts.terms_of(found, photo)
        digest.update(f"{photo} {stamp(photo)} {terms}".encode())
    return digest.hexdigest()[:16]


def _finished(settings: Settings, request: str) -> Prepared | None:
    """The dataset at `out`, if it is what this request makes.

    Raises:
        InputError: it is another one, and may not be replaced.
    """
    out = store.as_path(settings.out)
    if not (out / store.INFO).exists() or not (out / REPORT).exists():
        return None
    report = store.read_json(out / REPORT)
    if isinstance(report, dict) and report.get("request") == request:
        return Prepared(report, tuple(report.get("files", ())), again=True)
    if settings.overwrite:
        return None
    raise InputError(
        f"--out {settings.out}: holds a dataset made from other photographs or with other settings; give another "
        "folder, or --overwrite to replace it"
    )


def _split(sorting: Sorting, settings: Settings) -> None:
    """Puts every kept photograph into a split."""
    kept = sorting.kept()
    if not kept:
        one = sorting.rejected()[0]
        raise FaceError(
            f"--photos {settings.photos}: none of {len(sorting.outcomes)} photos can be used; the first, "
            f"{one.photo.source}: {one.text}"
        )
    people = {one.photo.key: one.photo.person for one in kept}
    if settings.split_by == "person":
        same = sorting.chosen.same
        names = splits.by_person(people, settings.validation, settings.seed, same)
    else:
        names = splits.by_picture(people, settings.validation, settings.seed)
    for one in kept:
        one.split = names[one.photo.key]


def _info(settings: Settings, networks: Networks, sorting: Sorting) -> DatasetInfo:
    points = networks.landmark_set
    if (
        points == 0 and sorting.most_points
    ):  # rasters that were given: the smallest set that holds them
        points = min((size for size in LANDMARK_SETS if size >= sorting.most_points), default=0)
        if not points:
            raise InputError(
                f"landmark pictures: one holds {sorting.most_points} points; expected at most {LANDMARK_SETS[-1]}"
            )
    return DatasetInfo(
        landmark_set=points,
        id_channels=settings.id_channels,
        embedding_width=sorting.embedding_width,
        face_pack=networks.pack_names,
        split_by=settings.split_by,
    )


def _write(
    sorting: Sorting,
    found: Scan,
    journal: Journal,
    settings: Settings,
    info: DatasetInfo,
    progress: Progress,
) -> DatasetInfo:
    """Writes the dataset."""
    kept = sorting.kept()
    done = 0

    def records(split: str) -> Any:
        nonlocal done
        for record in make_records([one for one in kept if one.split == split], found, journal):
            yield record
            progress("records", done := done + 1, len(kept))

    parts = {split: records(split) for split in splits.SPLITS}
    return write_dataset(settings.out, parts, info, overwrite=True)


def _write_report(
    report: dict[str, Any], sorting: Sorting, journal: Journal, settings: Settings
) -> tuple[str, ...]:
    """Writes sheets, then report.json, into the dataset's folder; returns their names."""
    out = store.as_path(settings.out)
    names = []
    try:
        for name, sheet in draw_sheets(report, sorting, journal, settings.sheet_pages):
            stream = io.BytesIO()
            sheet.save(stream, "PNG", optimize=True)
            (out / name).write_bytes(stream.getvalue())
            names.append(name)
        report["files"] = [*names, REPORT]
        text = json.dumps(report, indent=1, ensure_ascii=False)
        (out / REPORT).write_text(text + "\n")
    except OSError as error:
        reason = error.strerror or os.fspath(out)
        raise OutputError(f"{out}: the report cannot be written: {reason}") from error
    return tuple(report["files"])
