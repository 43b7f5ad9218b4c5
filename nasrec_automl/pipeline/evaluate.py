"""Models beside each other on rows with labels. Needs neither NNI nor Optuna."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.readers.kinds import NUMBER, Column
from nasrec_automl.data.readers.parquet import read_parquet
from nasrec_automl.data.readers.table import is_parquet, separator_of
from nasrec_automl.data.readers.text import Layout, read_text
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.unseen import UnseenValues
from nasrec_automl.data.values import MISSING_TEXTS
from nasrec_automl.errors import DataError
from nasrec_automl.evaluation.grouped import GroupedAUC, grouped_auc
from nasrec_automl.evaluation.paired import auc_difference_error, log_loss_difference_error
from nasrec_automl.pipeline.groups import Groups
from nasrec_automl.pipeline.model_folder import Model
from nasrec_automl.pipeline.tables import plain_table
from nasrec_automl.report import calibration_bins
from nasrec_automl.report.evaluation_content import Difference, Evaluation
from nasrec_automl.report.evaluation_page import with_error
from nasrec_automl.training.metrics import log_losses, measure

_COLUMN = "probability"
_SURE = 1e-15
"""Probabilities of 0 and 1 count as so far from them, or one wrong row would make a log loss infinite."""
_logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Labels:
    label: NDArray[np.uint8]
    weight: Array | None
    groups: NDArray[np.int64] | None

    @property
    def positive_rate(self) -> float:
        return float(np.average(self.label, weights=self.weight))

    def compare(self, logits: Mapping[str, Array]) -> list[Evaluation]:
        """Measure every model, and compare all others with the first."""
        within = {name: self._within_groups(one) for name, one in logits.items()}
        first, *others = (self._evaluate(name, one, within[name]) for name, one in logits.items())
        compared = [first]
        for other in others:
            less = self._difference(logits[other.name], other, logits[first.name], first)
            compared.append(replace(other, less_first=_with_groups(less, within[other.name], within[first.name])))
        return compared

    def _within_groups(self, logits: Array) -> GroupedAUC | None:
        return None if self.groups is None else grouped_auc(self.label, logits, self.groups, self.weight)

    def _evaluate(self, name: str, logits: Array, within: GroupedAUC | None) -> Evaluation:
        label = torch.from_numpy(self.label.astype(np.float32))
        weight = None if self.weight is None else torch.from_numpy(self.weight)
        metrics = measure(torch.from_numpy(logits), label, weight)
        rate = self.positive_rate
        both = 0 < rate < 1
        probabilities = torch.from_numpy(logits).sigmoid().numpy()
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate)) if both else math.nan
        return Evaluation(
            name=name,
            log_loss=metrics.log_loss,
            log_loss_error=None if math.isnan(metrics.standard_error) else metrics.standard_error,
            auc=metrics.auc if both else None,
            normalised_entropy=metrics.log_loss / entropy if both else None,
            mean_probability=float(np.average(probabilities, weights=self.weight)),
            positive_rate=rate,
            rows=len(logits),
            calibration=calibration_bins(self.label, probabilities, self.weight),
            group_auc=None if within is None else within.mean,
            groups=None if within is None else len(within.aucs),
        )

    def _difference(self, logits: Array, evaluation: Evaluation, first: Array, of_first: Evaluation) -> Difference:
        label = torch.from_numpy(self.label.astype(np.float32))
        losses, others = (log_losses(torch.from_numpy(one), label).numpy() for one in (logits, first))
        several = evaluation.log_loss_error is not None
        apart = None if evaluation.auc is None or of_first.auc is None else evaluation.auc - of_first.auc
        return Difference(
            log_loss=evaluation.log_loss - of_first.log_loss,
            log_loss_error=log_loss_difference_error(losses, others, self.weight) if several else None,
            auc=apart,
            auc_error=None if apart is None else auc_difference_error(self.label, logits, first, self.weight),
        )


def _with_groups(less: Difference, one: GroupedAUC | None, first: GroupedAUC | None) -> Difference:
    if one is None or first is None or one.mean is None or first.mean is None:
        return less
    return replace(less, group_auc=one.mean - first.mean, group_auc_error=one.difference_error(first))


def evaluate(
    source: RawSource,
    models: Mapping[str, Model],
    probabilities: Mapping[str, Path] | None = None,
    *,
    group: str | None = None,
    rejections: Rejections | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Measure models on labelled rows, and compare each with the first on the same rows.

    Args:
        source: the rows, such as `open_source("table", ["june-2.csv"], schema="schema.yaml", measured=True)`. All of
            them are measured, whatever part a column `split` would put them into.
        models: by name.
        probabilities: by name, files of probabilities that another model gave these rows, in their order: CSV, TSV or
            Parquet with a column `probability`, as `predict` writes them.
        group: a column of the rows; the AUC is measured within the rows of each of its values too. Rows without a
            value are in no group.
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
    given = {name: _given(path) for name, path in (probabilities or {}).items()}  # before hours of work
    if both := models.keys() & given.keys():
        raise DataError(f"{', '.join(sorted(both))}: names a model and a file of probabilities: name one otherwise")
    rejections = Rejections() if rejections is None else rejections
    logits, of_rows = _measured(source, models, None if group is None else Groups(group), rejections, on_rows)
    rows = len(of_rows.label)
    for name, values in given.items():
        if len(values) != rows:
            left_out = f", of which bad ones ({rejections.rejected:,}) are left out" if rejections.rejected else ""
            bad = rejections.bad_rows()
            raise DataError(
                f"{name}: {len(values):,} probabilities for {rows:,} rows{left_out}; expected one for each, in their "
                "order" + (f". {bad}" if bad else "")
            )
    return of_rows.compare(logits | {name: _logits(values) for name, values in given.items()})


def _measured(
    source: RawSource,
    models: Mapping[str, Model],
    groups: Groups | None,
    rejections: Rejections,
    on_rows: Callable[[int], None] | None,
) -> tuple[dict[str, Array], _Labels]:
    """Read the rows once: the logits of every model, and what they are to be compared with."""
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
        if groups is not None:
            groups.add(chunk.table)
        rows += len(chunk.label)
        if on_rows is not None:
            on_rows(rows)
    if not rows:
        raise DataError(f"{source.name}: no rows to measure on")
    for name, one in unseen.items():
        for warning in (*one.warnings().values(), *one.missing().values()):
            _logger.warning("%s: %s", name, warning)
    of_rows = _Labels(
        np.concatenate(labels),
        np.concatenate(weights) if weights else None,
        None if groups is None else groups.numbers,
    )
    return {name: np.concatenate(chunks) for name, chunks in logits.items()}, of_rows


def _given(path: Path) -> Array:
    """A file's probabilities.

    Raises:
        DataError: it cannot be read, or a row has no probability.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected probabilities, in a column `{_COLUMN}`")
    column, rejections = Column(_COLUMN, NUMBER, required=True), Rejections(limit=0.0)
    if is_parquet(path):
        tables = read_parquet(path, rejections, columns=(column,), further=True)
    else:
        layout = Layout(
            columns=(column,),
            separator=separator_of(path) or ",",
            header=True,
            quoting=True,
            missing=MISSING_TEXTS,
            further=True,
            headless=f"name the column of the probabilities `{_COLUMN}` in the first line",
        )
        tables = read_text(path, rejections, layout=layout)
    found = np.concatenate([np.empty(0), *(table[_COLUMN].to_numpy() for table in tables)])
    rejections.finish()
    wrong = np.flatnonzero(~((found >= 0) & (found <= 1)))
    if wrong.size:
        raise DataError(
            f"{path}: expected probabilities from 0 to 1, but row {int(wrong[0]) + 1} has {found[wrong[0]]:g}"
        )
    return found


def _logits(probabilities: Array) -> Array:
    sure = probabilities.clip(_SURE, 1 - _SURE)
    logits: Array = np.log(sure) - np.log1p(-sure)
    return logits


def evaluation_table(evaluations: Sequence[Evaluation], group: str | None = None) -> RenderableType:
    """Every model with its figures, and below how each of the others differs from the first; 80 columns are enough."""
    first, *others = evaluations
    within = () if group is None else (_within_table(evaluations, group),)
    table = _table("model", "log loss", "AUC", "normalised\nentropy", "mean\nprobability")
    for one in evaluations:
        loss, mean = with_error(one.log_loss, one.log_loss_error), f"{one.mean_probability:.4g}"
        table.add_row(escape(one.name), loss, with_error(one.auc), with_error(one.normalised_entropy), mean)
    text = f"{first.rows:,} rows with a click rate of {first.positive_rate:.4g}. ± is one standard error."
    if not others:
        return Group(table, Text(text, style="dim"), *within)
    differences = _table("difference from the first", "log loss", "AUC")
    for one in others:
        less = one.less_first
        assert less is not None
        loss, auc = with_error(less.log_loss, less.log_loss_error, "+"), with_error(less.auc, less.auc_error, "+")
        differences.add_row(escape(one.name), loss, auc)
    return Group(table, Text(text, style="dim"), differences, *within)


def _within_table(evaluations: Sequence[Evaluation], group: str) -> RenderableType:
    """The AUC within groups, and how that of each other model differs from the first."""
    table = _table("within groups", "AUC", "difference")
    for one in evaluations:
        less = one.less_first
        apart = "" if less is None else with_error(less.group_auc, less.group_auc_error, "+")
        table.add_row(escape(one.name), with_error(one.group_auc), apart)
    text = (
        f"The mean AUC within the rows of one {group}, weighted by rows: {evaluations[0].groups:,} have rows with a "
        "click and without one."
    )
    return Group(table, Text(text, style="dim"))


def _table(model: str, *columns: str) -> Table:
    table = plain_table()
    table.add_column(model, overflow="fold", min_width=24)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
