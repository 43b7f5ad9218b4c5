"""Further rows for a prepared folder: tables and transforms stay, so that whatever was trained can go on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import FILE_NAME, PartDescription, fingerprint
from nasrec_automl.data.files import write_text
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.preparation import Progress, divide_spill, no_progress, spill_source, write_rows
from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.statistics import Period, Statistics
from nasrec_automl.data.writing import beside
from nasrec_automl.errors import DataError


def append(
    source: RawSource,
    folder: Path | str,
    *,
    rejections: Rejections | None = None,
    on_progress: Progress = no_progress,
) -> PreparedData:
    """Add rows to a prepared folder, all of them or none.

    They are split as the folder was. By time, they must be later than all rows before: those become training (heads
    keep theirs), and validation and test are the newest of the new rows. Otherwise each part grows.

    Args:
        source: of the same kind as before.
        folder: what `prepare` wrote.
        rejections: the account of the reading; the default limit without it.
        on_progress: told how far it is.

    Returns:
        The folder, open without test.

    Raises:
        DataError: not a prepared folder, another kind of source, rows that are not later, or what `prepare` finds.
    """
    folder = Path(folder)
    account = rejections if rejections is not None else Rejections()
    with beside(folder) as partial:
        data = PreparedData.open(folder)  # as it is while nobody else appends
        before, statistics = data.description, Statistics.load(folder)
        if source.name != before.name:
            raise DataError(f"{folder}: holds {before.name}, to which {source.name} cannot be appended")
        preprocessing = data.preprocessing
        spill = spill_source(source, preprocessing.declared, partial, account, on_progress)
        if spill.has("weight") != (before.parts[Part.TRAIN].weight is not None):
            raise DataError(f"{folder}: either all rows have weights or none; the new ones are not as those before")
        divide_spill(spill, kind=before.split.kind, seed=before.split.seed + 1 + before.appended)
        added, period = write_rows(
            spill, preprocessing, partial, first=_next_shard(before.parts), on_progress=on_progress
        )
        by_time = before.split.kind == "time"
        if by_time and period is not None:
            _check_later(period, statistics, folder)
        old = _as_training(before.parts) if by_time else before.parts
        parts = {part: _together([old[part], added[part]]) for part in PARTS}
        for part in added.values():
            for shard in part.shards:
                # A killed appending may have left one of this name, which nothing describes.
                shutil.rmtree(folder / shard.folder, ignore_errors=True)
                (folder / shard.folder).parent.mkdir(exist_ok=True)
                (partial / shard.folder).rename(folder / shard.folder)
        if period is not None:
            statistics.model_copy(update={"periods": (*statistics.periods, period)}).save(folder)
        description = before.model_copy(
            update={
                "parts": parts,
                "appended": before.appended + 1,
                "notes": _notes(before.notes, account),
                "fingerprint": fingerprint(preprocessing, parts),
            }
        )
        write_text(folder / FILE_NAME, description.model_dump_json(indent=1) + "\n")
    return PreparedData.open(folder)


def _next_shard(parts: Mapping[Part, PartDescription]) -> int:
    return 1 + max(int(shard.folder.rpartition("/")[2]) for part in parts.values() for shard in part.shards)


def _as_training(parts: Mapping[Part, PartDescription]) -> Mapping[Part, PartDescription]:
    """Give training what was validation and test."""
    nothing = PartDescription(rows=0, positive_rate=0.0, weight=None, shards=())
    others = [parts[part] for part in PARTS if part is not Part.HEAD]
    return {**dict.fromkeys(PARTS, nothing), Part.HEAD: parts[Part.HEAD], Part.TRAIN: _together(others)}


def _together(parts: list[PartDescription]) -> PartDescription:
    parts = [part for part in parts if part.rows]
    weights = [part.rows if part.weight is None else part.weight for part in parts]
    positive = sum(part.positive_rate * weight for part, weight in zip(parts, weights, strict=True))
    return PartDescription(
        rows=sum(part.rows for part in parts),
        positive_rate=positive / (sum(weights) or 1),
        weight=None if parts[0].weight is None else sum(weights),
        shards=tuple(shard for part in parts for shard in part.shards),
    )


def _check_later(period: Period, statistics: Statistics, folder: Path) -> None:
    last = max(before.edges[-1] for before in statistics.periods)
    if period.edges[0] <= last:
        raise DataError(
            f"{folder}: is split by time and ends at {last:.0f}, but the new rows begin at {period.edges[0]:.0f}: "
            "append later rows alone, or prepare all of them again"
        )


def _notes(before: Mapping[str, float | int | str], account: Rejections) -> dict[str, float | int | str]:
    """Return the notes of the last reading; none on completeness, since they are of a part of the rows."""
    notes = {**before, **account.notes()} if account.read else dict(before)
    return {name: value for name, value in notes.items() if name != "completeness"}
