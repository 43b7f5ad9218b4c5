import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasrec_automl.data.movielens import read_movielens
from nasrec_automl.data.movielens_tables import GROUPLENS_FILES, RECBOLE_FILES
from tests.data.learned import fit
from tests.data.spoiled import Spoil, read_or_refuse, spoils

Write = Callable[[str, Path], Path]


def test_both_distributions_give_the_same_data(tmp_path: Path, write_movielens: Write) -> None:
    first = read_movielens(write_movielens("grouplens", tmp_path / "g"))
    second = read_movielens(write_movielens("recbole", tmp_path / "r"))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    pd.testing.assert_series_equal(first.label, second.label)


@pytest.mark.parametrize("kind", ["grouplens", "recbole"])
def test_a_rating_becomes_a_row(tmp_path: Path, write_movielens: Write, kind: str) -> None:
    raw = read_movielens(write_movielens(kind, tmp_path))
    frame = raw.frame
    assert raw.label.tolist() == [1, 0, 1]
    assert frame["user_id"].tolist() == ["7", "9", "7"]
    assert frame["age"].tolist() == [24, 53, 24]
    assert frame["zip_code"].tolist() == ["02139", "T8H1N", "02139"]
    np.testing.assert_array_equal(frame["release_year"], [np.nan, 1995, 1971])
    assert frame["genres"].tolist() == ["unknown", "Animation|Children's", "Film-Noir|Sci-Fi"]
    assert raw.time is not None
    assert raw.time.tolist() == [881250949, 0, 86400]


def test_the_rating_is_in_no_feature(tmp_path: Path, write_movielens: Write) -> None:
    folder = write_movielens("grouplens", tmp_path)
    before = read_movielens(folder)
    path = folder / "u.data"
    path.write_text(path.read_text().replace("\t5\t", "\t1\t").replace("\t4\t", "\t2\t"))
    after = read_movielens(folder)
    assert after.label.tolist() == [0, 0, 0]
    pd.testing.assert_frame_equal(before.frame, after.frame)


def test_features_are_what_the_frame_can_give(tmp_path: Path, write_movielens: Write) -> None:
    raw = read_movielens(write_movielens("grouplens", tmp_path))
    fitted = fit(raw.frame, dense=raw.dense, categorical=raw.categorical, derived=raw.derived)
    dense, ids = fitted.transform(raw.frame)
    assert dense.shape == (3, 1)
    assert ids.shape == (3, 15)
    assert fitted.schema().num_fields == 10
    assert (ids[:, 9:] > 0).sum(axis=1).tolist() == [1, 2, 2], "a film's genres, then padding"
    # Seen once is unknown, seen twice has a row.
    assert dict(zip(raw.categorical, ids[:2].T.tolist(), strict=False))["user_id"] == [1, 0]


@pytest.mark.parametrize(("kind", "files"), [("grouplens", GROUPLENS_FILES), ("recbole", RECBOLE_FILES)])
def test_a_spoiled_file_is_read_or_refused(kind: str, files: tuple[str, ...], write_movielens: Write) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(files), spoils("|") | spoils("\t"))
    def run(name: str, spoil: Spoil) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_movielens(kind, Path(folder)) / name
            path.write_bytes(spoil(path.read_bytes()))
            read_or_refuse(read_movielens, path.parent)

    run()
