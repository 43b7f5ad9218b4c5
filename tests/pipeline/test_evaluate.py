"""Models beside each other on labelled rows."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

from nasrec_automl.data.raw import RawData
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.sources import open_source
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.evaluate import Difference, Evaluation, evaluate, evaluation_table
from nasrec_automl.pipeline.model_folder import Model
from nasrec_automl.pipeline.run_folder import RunFolder

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def raw(finished_run: RunFolder) -> RawData:
    """Rows that the model has not seen; more than one chunk."""
    made = make_synthetic(**{**finished_run.job.data.options, "rows": 70_000, "seed": 1})
    return replace(made, time=None)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(values: Any, name: str = "p.csv") -> Path:
        pd.DataFrame({"row": range(len(values)), "probability": values}).to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def first_rows(raw: RawData, rows: int, **changes: Any) -> RawData:
    return replace(raw, frame=raw.frame.head(rows), label=raw.label.head(rows), **changes)


def test_the_figures_are_those_of_other_libraries(model: Model, raw: RawData, write: Write) -> None:
    heard: list[int] = []
    others = np.random.default_rng(0).random(len(raw.frame))
    ours, other = evaluate(raw, {"ours": model}, {"other": write(others)}, on_rows=heard.append)
    assert heard == [65_536, 70_000]
    predicted, rate = model.predict(raw.frame), raw.label.mean()
    for one, probabilities in ((ours, predicted), (other, others)):
        assert one.log_loss == pytest.approx(log_loss(raw.label, probabilities), abs=1e-6)
        assert one.auc == pytest.approx(roc_auc_score(raw.label, probabilities), abs=1e-6)
        assert one.mean_probability == pytest.approx(probabilities.mean(), abs=1e-6)
        assert one.normalised_entropy == pytest.approx(one.log_loss / log_loss(raw.label, np.full(70_000, rate)))
        assert (one.rows, one.positive_rate) == (70_000, pytest.approx(rate))
    assert ours.less_first is None
    less = other.less_first
    assert less is not None
    assert less.log_loss == pytest.approx(other.log_loss - ours.log_loss)
    assert less.auc == pytest.approx(other.auc - ours.auc)
    losses = [-np.log(np.where(raw.label == 1, p, 1 - p)) for p in (others, predicted)]
    assert less.log_loss_error == pytest.approx(np.std(losses[0] - losses[1], ddof=1) / np.sqrt(70_000), rel=1e-4)
    draws = np.random.default_rng(1).integers(70_000, size=(40, 70_000))
    spread = [
        roc_auc_score(raw.label.to_numpy()[d], others[d]) - roc_auc_score(raw.label.to_numpy()[d], predicted[d])
        for d in draws
    ]
    assert less.auc_error == pytest.approx(np.std(spread), rel=0.35), "as by bootstrap"


def test_rows_count_by_their_weights(model: Model, raw: RawData) -> None:
    weight = pd.Series(np.arange(300) % 4)
    several = first_rows(raw, 300).frame.loc[np.repeat(np.arange(300), weight)].reset_index(drop=True)
    label = raw.label.head(300).repeat(weight).reset_index(drop=True)
    (weighted,) = evaluate(first_rows(raw, 300, weight=weight), {"m": model})
    (repeated,) = evaluate(replace(raw, frame=several, label=label), {"m": model})
    for name in ("log_loss", "auc", "normalised_entropy", "mean_probability", "positive_rate"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=1e-6), name
    with pytest.raises(DataError, match="the weights of all 300 rows to measure on are 0"):
        evaluate(first_rows(raw, 300, weight=0 * weight), {"m": model})


def test_the_auc_within_groups_is_a_mean_over_them(model: Model, raw: RawData, write: Write) -> None:
    rows, others = 70_000, np.random.default_rng(0).random(70_000)
    users = np.random.default_rng(2).integers(0, 2000, rows)
    grouped = replace(raw, frame=raw.frame.assign(user=np.where(users < 5, None, users.astype(str))))
    both = evaluate(grouped, {"ours": model}, {"other": write(others)}, group="user")
    for one, probabilities in zip(both, (model.predict(raw.frame), others), strict=True):
        expected = [
            (roc_auc_score(raw.label[of], probabilities[of]), len(of))
            for user, of in pd.Series(users).groupby(users).groups.items()
            if user >= 5 and raw.label[of].nunique() == 2
        ]
        aucs, sizes = zip(*expected, strict=True)
        assert one.groups == len(aucs)
        assert one.group_auc == pytest.approx(np.average(aucs, weights=sizes), abs=1e-6)
    ours, other = both
    assert ours.group_auc is not None
    assert other.group_auc is not None
    assert other.less_first is not None
    assert other.less_first.group_auc == pytest.approx(other.group_auc - ours.group_auc)
    assert other.less_first.group_auc_error == pytest.approx(other.less_first.auc_error, rel=0.3), "groups of chance"
    shown = re.sub(r"\s+", " ", text(both, group="user"))
    assert f"ours {ours.group_auc:.4f} other {other.group_auc:.4f} -0." in shown
    assert f"of one user, weighted by rows: {ours.groups:,} have rows with a click and without one" in shown
    assert "within groups" not in text(both)


def test_what_rows_cannot_be_grouped_by_is_named(model: Model, raw: RawData) -> None:
    with pytest.raises(DataError, match="the rows have no column 'user' to group by; they have"):
        evaluate(first_rows(raw, 50), {"a": model}, group="user")
    lists = first_rows(raw, 50)
    lists = replace(lists, frame=lists.frame.assign(user=[["a"]] * 50))
    with pytest.raises(DataError, match="'user' must hold one value a row"):
        evaluate(lists, {"a": model}, group="user")
    alone = first_rows(raw, 50)
    alone = replace(alone, frame=alone.frame.assign(user=range(50)))
    one, other = evaluate(alone, {"a": model, "b": model}, group="user")
    assert (one.group_auc, one.groups) == (None, 0)
    assert other.less_first is not None
    assert (other.less_first.group_auc, other.less_first.group_auc_error) == (None, None)
    assert "n/a" in text([one, other], group="user")


def test_rows_of_one_class_have_no_auc(model: Model, raw: RawData) -> None:
    rows = raw.frame[raw.label == 0].head(50).reset_index(drop=True)
    both = evaluate(replace(raw, frame=rows, label=pd.Series(np.zeros(50))), {"a": model, "b": model})
    assert both[1].less_first is not None
    assert (both[0].auc, both[0].normalised_entropy, both[1].less_first.auc, both[1].less_first.auc_error) == (
        None,
    ) * 4
    assert both[1].less_first.log_loss == 0
    assert "n/a" in text(both)


def test_a_single_row_has_no_error(model: Model, raw: RawData) -> None:
    one, other = evaluate(first_rows(raw, 1), {"a": model, "b": model})
    assert other.less_first is not None
    assert (one.log_loss_error, other.less_first.log_loss_error) == (None, None)
    with pytest.raises(DataError, match="no rows to measure on"):
        evaluate(first_rows(raw, 0), {"a": model})


def test_small_differences_keep_their_digits() -> None:
    less = Difference(log_loss=-3.13e-5, log_loss_error=9.2e-6, auc=0.001, auc_error=0.002)
    one = Evaluation(
        name="a",
        log_loss=0.00337,
        log_loss_error=0.000021,
        auc=0.7,
        normalised_entropy=0.9,
        mean_probability=0.00041,
        positive_rate=0.0004,
        rows=9,
    )
    shown = text([one, replace(one, name="b", less_first=less)])
    assert "-0.0000313 ± 0.0000092" in shown
    assert "0.003370 ± 0.000021" in shown
    assert re.search(r"0\.00041 .*click rate of 0\.0004\.", shown, re.DOTALL)


def test_a_file_without_the_column_is_told_of_the_column(raw: RawData, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("score\n0.5\n")
    with pytest.raises(DataError, match=r"p\.csv: .*probability"):
        evaluate(first_rows(raw, 1), {}, {"p": tmp_path / "p.csv"})
    (tmp_path / "p.csv").write_text("0.5\n")
    with pytest.raises(DataError, match="name the column of the probabilities `probability` in the first line"):
        evaluate(first_rows(raw, 1), {}, {"p": tmp_path / "p.csv"})


def test_a_name_means_one_of_them(model: Model, raw: RawData, write: Write) -> None:
    with pytest.raises(DataError, match="m: names a model and a file"):
        evaluate(first_rows(raw, 1), {"m": model}, {"m": write([0.5])})


def test_a_probability_of_0_or_1_is_a_finite_mistake(raw: RawData, write: Write) -> None:
    (found,) = evaluate(first_rows(raw, 4), {}, {"sure": write(1 - raw.label.head(4))})
    assert found.log_loss == pytest.approx(-np.log(1e-15), rel=0.01)


@pytest.mark.parametrize(
    ("values", "naming"),
    [
        ([0.5] * 9, r"^p: 9 probabilities for 10 rows; expected one for each"),
        ([0.5] * 9 + [1.5], r"p\.csv: expected probabilities from 0 to 1, but row 10 has 1\.5"),
        (
            [0.5] * 9 + [None],
            r"^1 of the 10 rows read are bad, and none may be\. .*: no value.*p\.csv, line 11.*Correct the files$",
        ),
        ([0.5] * 9 + ["high"], r"probability: text where a number should be.*p\.csv, line 11"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(raw: RawData, write: Write, values: Any, naming: str) -> None:
    with pytest.raises(DataError, match=naming):
        evaluate(first_rows(raw, 10), {}, {"p": write(values)})


def test_bad_rows_are_left_out_and_said_where_probabilities_stand_beside_them(
    model: Model, raw: RawData, write: Write, tmp_path: Path
) -> None:
    rows, schema = tmp_path / "rows.csv", tmp_path / "schema.yaml"
    columns = [f"  {name}:" for name in raw.categorical]
    schema.write_text("\n".join(["label: y", "dense:", *(f"  {n}:" for n in raw.dense), "categorical:", *columns]))
    raw.frame.head(20).assign(y=[*raw.label.head(17), 7, 0, ""]).to_csv(rows, index=False)
    source, rejections = open_source("table", [rows], schema=schema), Rejections(0.5)
    (found,) = evaluate(source, {"m": model}, rejections=rejections)
    assert (found.rows, rejections.rejected) == (18, 2)
    with pytest.raises(DataError) as caught:
        evaluate(source, {"m": model}, {"p": write([0.5] * 20)}, rejections=Rejections(0.5))
    start, *kinds = str(caught.value).splitlines()
    assert "20 probabilities for 18 rows, of which bad ones (2) are left out; expected one for each" in start
    assert start.endswith("order. 2 of 20 rows rejected:")
    assert [re.sub(r"rows\.csv, (line \d+): .*", r"\1", line.replace(f"{tmp_path}/", "")) for line in kinds] == [
        "  1 x y: a label that is not 0 or 1; first: line 19",
        "  1 x y: no value; first: line 21",
    ]


def test_a_column_that_the_schema_calls_no_feature_is_named(model: Model, raw: RawData) -> None:
    name = next(iter(raw.categorical))
    some = first_rows(raw, 200)
    with pytest.raises(DataError, match=f"mine reads {name}, which the rows lack, or the schema calls no feature"):
        evaluate(replace(some, frame=some.frame.drop(columns=name)), {"mine": model})


def test_values_that_a_model_does_not_know_are_logged(
    model: Model, raw: RawData, caplog: pytest.LogCaptureFixture
) -> None:
    name = next(iter(raw.categorical))
    some = first_rows(raw, 200)
    evaluate(replace(some, frame=some.frame.assign(**{name: "never seen"})), {"mine": model})
    assert [record.message.split(":")[0] for record in caplog.records] == ["mine"]
    assert name in caplog.text


def text(evaluations: list[Evaluation], group: str | None = None) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(evaluation_table(evaluations, group))
    return console.export_text()


def test_the_table_has_differences_only_where_there_are_several(model: Model, raw: RawData) -> None:
    one = text(evaluate(first_rows(raw, 100), {"[red]mine": model}))
    assert "difference" not in one
    assert "[red]mine" in one
    assert "100 rows with a click rate of 0." in one
    first = "runs/clicks-of-the-first-half-of-june-2026/models/0c536a6f4bc35e93"
    two = text(evaluate(first_rows(raw, 100), {first: model, "[b]yours": model}))
    assert "…" not in two, "figures have room in 80 columns"
    assert "difference from the first" in two
    assert re.search(r"\[b\]yours +\+0\.0000 ± 0\.0000 +\+0\.0000 ± 0\.0000 *\n", two)
