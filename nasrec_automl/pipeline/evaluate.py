"""Models beside each other on rows with labels. Needs neither NNI nor Optuna."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.readers.unlabelled import read_unlabelled
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.unseen import UnseenValues
from nasrec_automl.data.values import numbers
from nasrec_automl.errors import DataError
from nasrec_automl.evaluation.paired import auc_difference_error, log_loss_difference_error
from nasrec_automl.pipeline.model_folder import Model
from nasrec_automl.training.metrics import log_losses, measure

_COLUMN = "probability"
_SURE = 1e-15
"""Probabilities of 0 and 1 count as so far from them, or one wrong row would make a log loss infinite."""
_logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A model's log loss and AUC less those of the first, on the same rows.

    Attributes:
        log_loss: below 0 where the model is better.
        log_loss_error: its standard error, paired by row; None of a single row.
        auc: above 0 where the model is better; None where all rows are of one class.
        auc_error: its standard error (DeLong); None where a class has fewer than two rows.
    """

    log_loss: float
    log_loss_error: float | None
    auc: float | None
    auc_error: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Quality of one model's probabilities.

    Attributes:
        name: of the model.
        log_loss: mean cross entropy in nats.
        log_loss_error: its standard error; None of a single row.
        auc: area under the ROC curve; None where all rows are of one class.
        normalised_entropy: the log loss as a share of that of a model which knows the positive rate alone (He et al.
            2014); None where all rows are of one class.
        mean_probability: to be compared with the positive rate.
        positive_rate: share of the rows that are clicks; rows count by their weights, as they do everywhere here.
        rows: how many were measured.
        less_first: what it is less the first model; None of the first.
    """

    name: str
    log_loss: float
    log_loss_error: float | None
    auc: float | None
    normalised_entropy: float | None
    mean_probability: float
    positive_rate: float
    rows: int
    less_first: Difference | None = None

    def to_plain(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Labels:
    label: NDArray[np.uint8]
    weight: Array | None

    @property
    def positive_rate(self) -> float:
        return float(np.average(self.label, weights=self.weight))

    def evaluate(self, name: str, logits: Array, first: Array | None) -> Evaluation:
        label = torch.from_numpy(self.label.astype(np.float32))
        weight = None if self.weight is None else torch.from_numpy(self.weight)
        metrics = measure(torch.from_numpy(logits), label, weight)
        rate = self.positive_rate
        both = 0 < rate < 1
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate)) if both else math.nan
        found = Evaluation(
            name=name,
            log_loss=metrics.log_loss,
            log_loss_error=None if math.isnan(metrics.standard_error) else metrics.standard_error,
            auc=metrics.auc if both else None,
            normalised_entropy=metrics.log_loss / entropy if both else None,
            mean_probability=float(np.average(torch.from_numpy(logits).sigmoid(), weights=self.weight)),
            positive_rate=rate,
            rows=len(logits),
        )
        if first is None:
            return found
        losses, others = (log_losses(torch.from_numpy(one), label).numpy() for one in (logits, first))
        before = measure(torch.from_numpy(first), label, weight)
        several = found.log_loss_error is not None
        less = Difference(
            log_loss=metrics.log_loss - before.log_loss,
            log_loss_error=log_loss_difference_error(losses, others, self.weight) if several else None,
            auc=metrics.auc - before.auc if both else None,
            auc_error=auc_difference_error(self.label, logits, first, self.weight) if both else None,
        )
        return replace(found, less_first=less)


def evaluate(
    source: RawSource,
    models: Mapping[str, Model],
    probabilities: Mapping[str, Path] | None = None,
    *,
    rejections: Rejections | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Measure models on labelled rows, and compare each with the first on the same rows.

    Args:
        source: the rows, such as `open_source("table", ["june-2.csv"], schema="schema.yaml")`. All of them are
            measured, whatever part a column `split` would put them into.
        models: by name.
        probabilities: by name, files of probabilities that another model gave these rows, in their order: CSV, TSV or
            Parquet with a column `probability`, as `predict` writes them.
        rejections: the account of bad rows, which are left out.
        on_rows: told how many rows are done.

    Returns:
        First the models, then the files.

    Raises:
        DataError: the rows or a file of probabilities cannot be read, a column that a model needs is missing, or a file
            has not one probability for each row.
    """
    if not models and not probabilities:
        raise DataError("nothing to measure: name a model, or a file of probabilities")
    rejections = Rejections() if rejections is None else rejections
    unseen = {name: UnseenValues(model.preprocessing.categorical) for name, model in models.items()}
    logits: dict[str, list[Array]] = {name: [] for name in models}
    labels: list[NDArray[np.uint8]] = []
    weights: list[Array] = []
    rows = 0
    for chunk in source.chunks(rejections):
        labels.append(chunk.label)
        if chunk.weight is not None:
            weights.append(chunk.weight.astype(np.float64))
        for name, model in models.items():
            there = chunk.table.columns if isinstance(chunk.table, pd.DataFrame) else chunk.table.column_names
            if lacking := sorted({*model.preprocessing.declared.raw_columns} - {*there}):
                raise DataError(
                    f"{name} reads {', '.join(lacking)}, which the rows lack, or the schema calls no feature: give the "
                    "schema that names the features of all models"
                )
            logits[name].append(model.logits(chunk.table, unseen[name]))
        rows += len(chunk.label)
        if on_rows is not None:
            on_rows(rows)
    if not rows:
        raise DataError(f"{source.name}: no rows to measure on")
    for name, one in unseen.items():
        for warning in (*one.warnings().values(), *one.missing().values()):
            _logger.warning("%s: %s", name, warning)
    found = {name: np.concatenate(chunks) for name, chunks in logits.items()}
    found |= {name: _given(path, rows, rejections.rejected) for name, path in (probabilities or {}).items()}
    of_rows = _Labels(np.concatenate(labels), np.concatenate(weights) if weights else None)
    first = next(iter(found.values()))
    return [of_rows.evaluate(name, one, None if one is first else first) for name, one in found.items()]


def _given(path: Path, rows: int, rejected: int) -> Array:
    """The logits of a file's probabilities."""
    read = Declared(dense={_COLUMN: DenseOptions()}, categorical={}, derived=())
    found = np.concatenate([np.empty(0), *(numbers(table[_COLUMN], _COLUMN) for table in read_unlabelled(path, read))])
    wrong = np.flatnonzero(~((found >= 0) & (found <= 1)))
    if wrong.size:
        raise DataError(
            f"{path}: expected probabilities from 0 to 1, but row {int(wrong[0]) + 1} has {found[wrong[0]]:g}"
        )
    if len(found) != rows:
        left_out = f", {rejected:,} bad ones left out: correct those" if rejected else ""
        raise DataError(
            f"{path}: {len(found):,} probabilities for {rows:,} rows{left_out}; expected one for each, in their order"
        )
    found = found.clip(_SURE, 1 - _SURE)
    logits: Array = np.log(found) - np.log1p(-found)
    return logits


def evaluation_table(evaluations: Sequence[Evaluation]) -> RenderableType:
    """Every model with its figures, and below what each of the others is less the first; has room in 80 columns."""
    first, *others = evaluations
    table = _table("log loss", "AUC", "normalised\nentropy", "mean\nprobability")
    for one in evaluations:
        values = (_shown(value) for value in (one.auc, one.normalised_entropy, one.mean_probability))
        table.add_row(escape(one.name), _shown(one.log_loss, one.log_loss_error), *values)
    rows = Text(f"{first.rows:,} rows, of which {first.positive_rate:.2%} are clicks. ± is one standard error.", "dim")
    if not others:
        return Group(table, rows)
    differences = _table("log loss", "AUC", first=f"less {first.name}")
    for one in others:
        less = one.less_first
        assert less is not None
        values = (
            _shown(*pair, sign="+") for pair in ((less.log_loss, less.log_loss_error), (less.auc, less.auc_error))
        )
        differences.add_row(escape(one.name), *values)
    return Group(table, rows, differences)


def _table(*columns: str, first: str = "model") -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text(first), overflow="fold", min_width=24)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _shown(value: float | None, error: float | None = None, *, sign: str = "") -> str:
    if value is None:
        return "n/a"
    return f"{value:{sign}.4f}" if error is None else f"{value:{sign}.4f} ± {error:.4f}"
