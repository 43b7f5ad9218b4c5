"""Rows in the formats of the readers, made up here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.rejections import Rejections

CRITEO = "\t".join(["0", "1", "-2", "", *"4567890123"[:9], "12345678", *["0a1b2c3d"] * 25, ""]).split("\t")
AVAZU_HEADER = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,"
    "device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)
AVAZU = ["18446744073709551615", "1", "14102123", "1005", "0", *["1fbe01fe"] * 9, "1", "2", *["-1"] * 8]
KDD12 = ["1", "3", "18446744073709551615", "20", "30", "2", "1", "5", "6", "7", "8", "42"]
PROFILE = "42\t1\t5\n7\t2\t3\n"


def criteo_lines(rows: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        numbers = [draw.choice(["", "-1", str(draw.randrange(100_000))]) for _ in range(13)]
        categories = [draw.choice(["", f"{draw.randrange(2**32):08x}"]) for _ in range(26)]
        lines.append("\t".join([draw.choice("01"), *numbers, *categories]))
    return lines


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def write_public_sets(folder: Path) -> None:
    """480 rows of each public set, under the names of its files, in folders named as the sources."""
    for name in ("criteo", "avazu", "kdd12"):
        (folder / name).mkdir()
    write(folder / "criteo" / "train.txt", criteo_lines(480))
    avazu = [",".join([str(row), str(row % 2), f"141021{row // 20:02d}", *AVAZU[3:]]) for row in range(480)]
    write(folder / "avazu" / "train.csv", [AVAZU_HEADER, *avazu])
    write(folder / "kdd12" / "training.txt", ["\t".join([str(row % 2), *KDD12[1:]]) for row in range(480)])
    (folder / "kdd12" / "userid_profile.txt").write_text(PROFILE)


@dataclass
class Read:
    """All of a source."""

    table: pa.Table
    label: list[int]
    row: list[int]
    weight: list[float] | None
    time: list[float] | None
    rejections: Rejections


def read_all(source: RawSource, *, limit: float = 1.0, path: Path | None = None) -> Read:
    rejections = Rejections(limit, path)
    chunks = list(source.chunks(rejections))

    def joined(take: Callable[[Any], Any]) -> Any:
        return None if take(chunks[0]) is None else [value for chunk in chunks for value in take(chunk).tolist()]

    return Read(
        pa.concat_tables([chunk.table for chunk in chunks]),
        joined(lambda chunk: chunk.label),
        joined(lambda chunk: chunk.row),
        joined(lambda chunk: chunk.weight),
        joined(lambda chunk: chunk.time),
        rejections,
    )
