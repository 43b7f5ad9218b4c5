from pathlib import Path

import pytest

from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.errors import DataError

GOOD = "label: y\ncategorical: {c: , d: {kind: hash, max_table_size: 100}, hour: }\ndense: {n: , m: none}\n"
TIME = "timestamp: {column: t}\nderived: [{name: hour, source: t, kind: hour}]\n"


def load(folder: Path, text: str) -> object:
    (folder / "schema.yaml").write_text(text)
    return load_table_schema(folder / "schema.yaml")


def test_roles_and_options(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD + TIME + "weight: w\nignored: [x]\n")
    schema = load_table_schema(tmp_path / "s.yaml")
    assert schema.categorical["c"].kind == "vocabulary"
    assert schema.categorical["d"].max_table_size == 100
    assert schema.dense == {"n": DenseOptions(transform="log"), "m": DenseOptions(transform="none")}
    assert schema.numbers == ("n", "m", "t")
    assert schema.texts == ("c", "d")
    assert schema.raw_columns == ("y", "w", "t", "n", "m", "c", "d", "x")


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("label: y\n", "categorical: this field is required"),
        ("label: y\ncategorical: {}\n", "categorical: Dictionary should have at least 1"),
        ("- 1\n", r"yaml: expected a mapping such as \{label: clicked, .* but it is \[1\]$"),
        ("", "yaml: expected a mapping such as .* drafts it, but it is empty$"),
        ("label: y\ncategorical: {c: }\nlabel: z\n", "yaml, line 3: 'label' is there twice in one mapping: keep one"),
        (GOOD.replace("m: none", "n: none"), "yaml, line 3: 'n' is there twice"),
        (GOOD + "ignored: id\n", r"ignored: expected a list such as \[row_id\], but it is 'id'"),
        (GOOD + "ignored: [2019]\n", r"ignored\.0: expected a text, but it is 2019: put it in quotes"),
        (GOOD + "timestamp: at\n", r"timestamp: expected a mapping such as \{column: at, .* but it is 'at'"),
        (
            GOOD + "derived: {hour: at}\n",
            r"derived: expected a list such as \[\{name: .* but it is \{'hour': 'at'\}",
        ),
        (GOOD.replace("{c: ,", "{c: hash,"), r"categorical\.c: expected a mapping such as \{kind: .* but it is 'hash'"),
        (GOOD.replace("{c: ,", "{2019: ,"), r"categorical\.2019: expected a text, but it is 2019: put it in quotes"),
        (
            GOOD.replace("none", "[none]"),
            r"dense\.m: expected a mapping .* or a transform's name, but it is \['none'\]",
        ),
        (GOOD.replace("none", "sqrt"), r"dense\.m\.transform: .*, but it is 'sqrt'"),
        ("a: [\n", "not a YAML file"),
        (GOOD + "colour: red\n", "colour: no such field; there are label, name"),
        (GOOD + "weight: y\n", "'y' has two roles"),
        (GOOD + "ignored: [c]\n", "'c' has two roles"),
        (GOOD + "timestamp: {column: c}\n", "timestamp 'c' has another role"),
        (
            GOOD.replace("n: , m: none", "n: {flag_missing: true}, n_missing: none"),
            "two features are called 'n_missing': name derived columns apart, and drop what `flag_missing` makes",
        ),
        (
            "label: y\ncategorical: {h: }\n"
            "derived: [{name: h, source: t, kind: hour}, {name: h, source: u, kind: hour}]",
            "two features are called 'h'",
        ),
        (GOOD + "timestamp: {column: n, format: ISO8601}\n", "timestamp 'n' is no number"),
        (
            GOOD + "timestamp: {column: t, format: '%Q'}\n",
            r"timestamp\.format: expected number, ISO8601.*but '%Q' came",
        ),
        (GOOD + "timestamp: {column: t, format: '%G-%V'}\n", r"timestamp\.format: .*but '%G-%V' came \(ISO year"),
        (GOOD + "timestamp: {column: t, format: '%d%d'}\n", r"timestamp\.format: .*but '%d%d' came"),
        (GOOD + "derived: [{name: day, source: n, kind: weekday}]\n", "derived column 'day' is no feature"),
        (GOOD + "derived: [{name: hour, source: c, kind: hour}]\n", "made of numbers of the table, but 'c'"),
        *(
            (
                GOOD + f"timestamp: {{column: t, format: '{form}'}}\n",
                rf"timestamp\.format: expected number.*'{form}' came$",
            )
            for form in ("mixed", "", "iso", "abc", "%%")
        ),
        *(
            (GOOD + f'separator: "{sign}"\n', r"yaml: the separator must be one ASCII character, .*, but '.*' came$")
            for sign in ('\\"', "\\n", "\\r", "\\0", "", "§", "é", "||", "字")
        ),
        (GOOD + "columns: [y, c, d, n, m]\n", "look at 'hour'"),
        (GOOD + "columns: [y, c, d, hour, n, m, m]\n", "must not name one twice"),
        (
            GOOD.replace("max_table_size: 100", "rows: 3"),
            r"categorical\.d\.rows: no such field; there are format, max_values",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        load(tmp_path, text)


@pytest.mark.parametrize("sign", [",", ";", "|", " ", "\\t", "\\x01", "~"])
def test_any_other_ascii_character_separates(sign: str, tmp_path: Path) -> None:
    load(tmp_path, GOOD + f'separator: "{sign}"\n')


@pytest.mark.parametrize("form", ["number", "ISO8601", "%Y%m%d", "%d.%m.%Y %H:%M", "%H%% %d"])
def test_formats_of_time(form: str, tmp_path: Path) -> None:
    load(tmp_path, GOOD + f"timestamp: {{column: t, format: '{form}'}}\n")


@pytest.mark.parametrize(
    ("values", "texts"),
    [("[N, Y]", ("N", "Y")), ("[-1, 1]", ("-1", "1")), ("['no', 'yes']", ("no", "yes")), ("[1.0, 2.0]", ("1", "2"))],
)
def test_a_label_may_have_other_values(values: str, texts: tuple[str, str], tmp_path: Path) -> None:
    assert load(tmp_path, GOOD + f"label_values: {values}\n").label_values == texts


@pytest.mark.parametrize(
    ("values", "naming"),
    [
        (
            "[no, yes]",
            r"label_values: expected two texts .*\[\"no\", \"yes\"\] with the quotes, but \[False, True\] came",
        ),
        ("[a]", "label_values: expected two texts"),
        ("[a, b, c]", "label_values: expected two texts"),
        ("yes", "label_values: expected a list such as"),
        ("[a, a]", "label_values: expected two values that differ, but 'a' came twice"),
        ("['1.0', '1']", "label_values: expected two values that differ, but '1' came twice"),
        ("[NA, a]", "label_values: .* 'NA' stands for a missing one"),
    ],
)
def test_what_is_wrong_with_a_labels_values_is_named(values: str, naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        load(tmp_path, GOOD + f"label_values: {values}\n")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none.yaml: no such file; expected a schema file, as `nasrec-automl schema infer`"
    ):
        load_table_schema(tmp_path / "none.yaml")
