"""The kept model in its folder and on raw columns."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nasrec_automl import load_model
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import CheckpointError, DataError
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.pipeline import model_folder as module
from nasrec_automl.pipeline.model_folder import Model, write_model
from nasrec_automl.pipeline.run_folder import RunFolder
from tests.pipeline.conftest import Varied


def test_raw_rows_get_the_subnets_own_probabilities(model: Model, finished_run: RunFolder) -> None:
    raw = make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options})
    predicted = np.sort(model.predict(raw.frame))
    data = PreparedData.open(finished_run.data, test=True)
    logits = predict_logits(model.subnet, data.part(*("train", "head", "search", "hpo", "choice", "test")))
    expected = np.sort(torch.sigmoid(logits.double()).numpy())
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
    assert predicted.std() > 0


def test_further_columns_are_ignored_and_the_order_does_not_matter(model: Model, frame: pd.DataFrame) -> None:
    shuffled = frame[list(frame.columns[::-1])].assign(further=1)
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(frame))


def test_chunks_change_nothing(model: Model, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model.predict(frame)
    monkeypatch.setattr(module, "_CHUNK", 77)
    np.testing.assert_allclose(model.predict(frame), whole, atol=1e-7)


def test_no_rows_no_probabilities(model: Model, frame: pd.DataFrame) -> None:
    assert model.predict(frame.head(0)).shape == (0,)


def test_unknown_categories_count_as_missing(model: Model, frame: pd.DataFrame) -> None:
    name = model.preprocessing.categorical[0].name
    unknown, missing = frame.assign(**{name: "never seen"}), frame.assign(**{name: None})
    np.testing.assert_array_equal(model.predict(unknown), model.predict(missing))


def test_a_missing_column_is_named(model: Model, frame: pd.DataFrame) -> None:
    name = model.preprocessing.declared.raw_columns[1]
    with pytest.raises(DataError, match=f"lack the column {name}; expected"):
        model.predict(frame.drop(columns=name))


def test_a_folder_without_a_model_is_named(tmp_path: Path, finished_run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match=r"no model; expected the file model\.safetensors"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match=r"no model; expected the file model\.safetensors"):
        load_model(finished_run.data)


def test_the_model_of_a_run_is_its_winner(finished_run: RunFolder) -> None:
    found, winner = load_model(finished_run.path), load_model(finished_run.best)
    assert found.subnet.architecture == winner.subnet.architecture


def test_preprocessing_of_other_rows_is_refused_though_its_tables_are_as_large(copied_run: RunFolder) -> None:
    path = copied_run.best / "preprocessing.json"
    content = json.loads(path.read_text())
    content["categorical"][0]["separator"] = ";"
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="makes other inputs than"):
        load_model(copied_run.best)


def test_preprocessing_of_other_tables_is_refused(copied_run: RunFolder) -> None:
    path = copied_run.best / "preprocessing.json"
    preprocessing = load_model(copied_run.best).preprocessing
    preprocessing.model_copy(update={"categorical": preprocessing.categorical[:-1]}).save(path)
    with pytest.raises(CheckpointError, match=r"preprocessing\.json makes other inputs than model\.safetensors"):
        load_model(copied_run.best)


def test_a_model_that_is_half_replaced_is_none(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(copied_run.best)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nasrec_automl.pipeline.model_folder.write_text", dies)
    with pytest.raises(KeyboardInterrupt):
        write_model(model.subnet, copied_run.data / "preprocessing.json", copied_run.best, {})
    with pytest.raises(CheckpointError, match=r"no model; expected the file preprocessing\.json"):
        load_model(copied_run.best)


def test_rows_may_be_dicts(varied: Varied) -> None:
    model = load_model(varied.folder)
    expected = model.predict(varied.frame)
    records = varied.frame.to_dict("records")
    np.testing.assert_array_equal(model.predict(records), expected)
    np.testing.assert_allclose(model.predict(records[7]), expected[7:8], atol=1e-6)
    assert model.predict([]).shape == (0,)
    name = model.preprocessing.declared.raw_columns[0]
    lacking = [{key: value for key, value in record.items() if key != name} for record in records[:2]]
    with pytest.raises(DataError, match=f"lack the column {name}; expected"):
        model.predict(lacking)
    np.testing.assert_array_equal(
        model.predict([lacking[0], records[1]]), model.predict([records[0] | {name: None}, records[1]])
    )


def test_the_network_may_have_another_type(varied: Varied) -> None:
    """As it may be on another device: what it reads goes where it is."""
    model = load_model(varied.folder)
    expected = model.predict(varied.frame)
    model.subnet.double()
    np.testing.assert_allclose(model.predict(varied.frame), expected, atol=1e-6)


@pytest.mark.parametrize("rows", ["a", 5, [1, 2], None, pd.Series([1])])
def test_what_is_no_rows_is_named(rows: object, model: Model) -> None:
    with pytest.raises(DataError, match=r"expected raw rows as a pandas DataFrame.* but .* came"):
        model.predict(rows)  # type: ignore[arg-type]


def test_a_field_of_which_nothing_is_known_is_told_once(
    finished_run: RunFolder, frame: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_model(finished_run.best)
    name = model.preprocessing.categorical[0].name
    other = frame.assign(**{name: "never seen"})
    with caplog.at_level(logging.WARNING):
        model.predict(frame)
        for row in range(9):
            model.predict(other.iloc[[row]])
        assert caplog.messages == [], "single rows say nothing"
        model.predict(other)
        model.predict(other)
    (message,) = caplog.messages
    assert message.startswith(f"{name}: 100% of its values are unknown to the model (such as 'never seen'; it knows '")
