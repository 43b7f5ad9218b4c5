from pathlib import Path

import pytest

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.table_schema import TableSchema, load_table_schema
from nasrec_automl.errors import DataError

GOOD = "label: y\ncategorical: {c: , d: {kind: hash, max_table_size: 100}, hour: }\ndense: {n: , m: none}\n"
TIMED = (
    "label: y\ncategorical: {hour: }\ntimestamp: {column: at, format: ISO8601}\n"
    "derived: [{name: hour, source: at, kind: hour}]\n"
)
TIME = "timestamp: {column: t}\nderived: [{name: hour, source: t, kind: hour}]\n"


def load(folder: Path, text: str) -> TableSchema:
    (folder / "schema.yaml").write_text(text)
    return load_table_schema(folder / "schema.yaml")


def test_derived_columns_of_the_time_have_its_format(tmp_path: Path) -> None:
    assert [column.format for column in load(tmp_path, TIMED).derived] == ["ISO8601"]
    other = TIMED.replace("at, kind", "born, format: '%Y%m%d', kind")
    assert [column.format for column in load(tmp_path, other).derived] == ["%Y%m%d"]


def test_roles_and_options(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD + TIME + "weight: w\nignored: [x]\n")
    schema = load_table_schema(tmp_path / "s.yaml")
    assert schema.categorical["c"].kind == "vocabulary"
    assert schema.categorical["d"].max_table_size == 100
    assert schema.dense == {"n": DenseOptions(transform="log"), "m": DenseOptions(transform="none")}
    assert schema.numbers == ("n", "m", "t")
    assert schema.texts == ("c", "d")
    assert schema.raw_columns == ("y", "w", "t", "n", "m", "c", "d", "x")


@pytest.mark.parametrize(("own", "other"), [("hash_above", "compositional"), ("compositional", "hash_above")])
def test_a_cap_of_its_own_and_two_tables_leave_out_the_default_of_the_other(
    tmp_path: Path, own: str, other: str
) -> None:
    text, path = f"label: y\ncategorical: {{c: {{{own}: 50}}, d: }}\n", tmp_path / "job.yaml"
    path.write_text(text)
    for schema in (
        load(tmp_path, text + f"defaults: {{categorical: {{{other}: 7}}}}\n"),
        load_table_schema(path, {"categorical": {other: 7}}),
    ):
        assert [getattr(schema.categorical[name], own) for name in "cd"] == [50, None]
        assert [getattr(schema.categorical[name], other) for name in "cd"] == [None, 7]


def test_defaults_are_for_what_a_field_does_not_set(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "label: y\n"
        "categorical: {c: , d: {min_count: 5}, e: {kind: vocabulary, max_table_size: }}\n"
        "dense: {n: , m: none, o: {transform: log}, p: {flag_missing: false}}\n"
        "defaults:\n"
        "  categorical: {min_count: 2, kind: hash, max_table_size: 9}\n"
        "  dense: {transform: quantile, flag_missing: true}\n"
    )
    schema = load_table_schema(tmp_path / "s.yaml")
    assert schema.categorical == {
        "c": CategoricalOptions(min_count=2, kind="hash", max_table_size=9),
        "d": CategoricalOptions(min_count=5, kind="hash", max_table_size=9),
        "e": CategoricalOptions(min_count=2),
    }
    assert schema.dense == {
        "n": DenseOptions(transform="quantile", flag_missing=True),
        "m": DenseOptions(transform="none", flag_missing=True),
        "o": DenseOptions(flag_missing=True),
        "p": DenseOptions(transform="quantile"),
    }
    asked = load_table_schema(tmp_path / "s.yaml", {"categorical": {"min_count": 3}, "dense": {"flag_missing": False}})
    assert [options.min_count for options in asked.categorical.values()] == [3, 5, 3]
    assert {options.flag_missing for options in asked.dense.values()} == {False}


def test_what_is_wrong_with_a_jobs_defaults_is_said_of_them_and_once(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("label: y\ncategorical: {c: , d: , e: {max_values: 2}}\n")
    with pytest.raises(
        DataError, match=r"^data\.defaults: do not go with .*s\.yaml, categorical\.c: a hashed column needs [^;]*$"
    ):
        load_table_schema(tmp_path / "s.yaml", {"categorical": {"kind": "hash"}})
    (tmp_path / "s.yaml").write_text("label: y\ncategorical: {c: {min_count: 0}, d: }\n")
    with pytest.raises(DataError, match=r"^/.*s\.yaml: categorical\.c\.min_count: "):
        load_table_schema(tmp_path / "s.yaml", {"categorical": {"kind": "hash"}})


def test_a_schema_that_says_the_same_field_by_field_is_the_same(tmp_path: Path) -> None:
    short = load(tmp_path, GOOD + "defaults: {categorical: {min_count: 2}, dense: quantile}\n").model_dump()
    each = "label: y\ncategorical: {c: {min_count: 2}, d: {kind: hash, max_table_size: 100, min_count: 2}, "
    assert load(tmp_path, each + "hour: {min_count: 2}}\ndense: {n: quantile, m: none}\n").model_dump() == short
    assert load(tmp_path, GOOD + "defaults: {dense: quantile}\n").model_dump() != short


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        (GOOD + "defaults: {colour: 2}\n", r"yaml: defaults\.colour: no such field; there are categorical, dense$"),
        (
            GOOD + "defaults: {categorical: {min_cout: 2}}\n",
            r"yaml: defaults\.categorical\.min_cout: no such field; there are format, max_values, .*min_count[^;]*$",
        ),
        (GOOD + "defaults: {dense: {min_count: 2}}\n", r"defaults\.dense\.min_count: .* transform, flag_missing$"),
        (GOOD + "defaults: {dense: sqrt}\n", r"yaml: defaults\.dense\.transform: .*, but it is 'sqrt'$"),
        (GOOD + "defaults: {categorical: {min_count: 0}}\n", r"yaml: defaults\.categorical\.min_count: [^;]*$"),
        (GOOD + "defaults: [a]\n", r"yaml: defaults: expected a mapping such as \{categorical: \{min_count: 2\}, dens"),
        (
            GOOD + "defaults: {categorical: hash}\n",
            r"defaults\.categorical: expected a mapping such as \{min_count: 2\}",
        ),
        (GOOD + "defaults: {categorical: {kind: hash}}\n", r"defaults\.categorical: a hashed column needs max_table"),
        (
            "label: y\ncategorical: {c: {max_values: 3}}\ndefaults: {categorical: {format: hex}}\n",
            r"yaml: categorical\.c: a multi-valued column has the format `any`",
        ),
        (
            "label: y\ncategorical: {c: hash}\ndefaults: {categorical: {min_count: 2}}\n",
            r"categorical\.c: expected a m",
        ),
        (
            "label: y\ncategorical: 3\ndefaults: {categorical: {min_count: 2}}\n",
            r"yaml: categorical: expected a mapping",
        ),
        (
            "label: y\ncategorical: {c: }\ndense: {n: 3}\ndefaults: {dense: log}\n",
            r"yaml: dense\.n: expected a mapping",
        ),
        (
            "label: y\ncategorical: {c: }\ndense: {n: , n_missing: }\ndefaults: {dense: {flag_missing: true}}\n",
            "two features are called 'n_missing'",
        ),
    ],
)
def test_what_is_wrong_with_defaults_is_named(text: str, naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        load(tmp_path, text)


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
        (GOOD + "timestamp: {column: n, format: ISO8601}\n", "'n' cannot be of the formats ISO8601 and number at once"),
        (
            GOOD + "timestamp: {column: t, format: '%Q'}\n",
            r"timestamp\.format: expected number, ISO8601.*but '%Q' came",
        ),
        (GOOD + "timestamp: {column: t, format: '%G-%V'}\n", r"timestamp\.format: .*but '%G-%V' came \(ISO year"),
        (GOOD + "timestamp: {column: t, format: '%d%d'}\n", r"timestamp\.format: .*but '%d%d' came"),
        (GOOD + "derived: [{name: day, source: n, kind: weekday}]\n", "derived column 'day' is no feature"),
        (GOOD + "derived: [{name: hour, source: c, kind: hour}]\n", "made of numbers or times of the table, but 'c'"),
        (TIMED.replace("hour}", "hour, format: '%Y'}"), "column 'at' cannot be of the formats %Y and ISO8601 at once"),
        (TIMED.replace("kind: hour", "kind: stamp_hour"), "column 'at' cannot be of the formats ISO8601 and number"),
        (TIMED + "dense: {at: }\n", "column 'at' cannot be of the formats ISO8601 and number"),
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
    [
        ("[N, Y]", ("N", "Y")),
        ("[-1, 1]", ("-1", "1")),
        ("['no', 'yes']", ("no", "yes")),
        ("[1.0, 2.0]", ("1", "2")),
        (r'["no ", "yes\xa0"]', ("no", "yes\xa0")),
    ],
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


@pytest.mark.parametrize(("time", "unused"), [("at", ("row", "fold", "at")), ("price", ("row", "fold"))])
def test_rows_to_measure_on_need_neither_a_split_nor_a_time(time: str, unused: tuple[str, ...]) -> None:
    schema = TableSchema.model_validate(
        {
            "label": "y",
            "weight": "w",
            "split": "fold",
            "timestamp": {"column": time},
            "dense": {"price": "log"},
            "categorical": {"shop": None},
            "ignored": ["row"],
        }
    )
    measured = schema.measured()
    assert (measured.split, measured.timestamp, measured.ignored) == (None, None, unused)
    assert (measured.weight, measured.numbers) == ("w", ("price",))
    assert {*measured.raw_columns} == {*schema.raw_columns}, "files without a header have them still"


def test_rows_may_be_grouped_by_a_column_that_is_no_feature(tmp_path: Path) -> None:
    schema = load(tmp_path, GOOD + TIME + "ignored: [user, x]\ncolumns: [y, c, d, t, n, m, user, x]\n")
    measured = schema.measured("user")
    assert measured.texts == ("c", "d", "user")
    assert {*measured.raw_columns} == {*schema.raw_columns}
    assert measured.ignored == ("x",)
    for feature in ("c", "n"):
        assert schema.measured(feature) == schema.measured()
    with pytest.raises(DataError, match="there is no column 'who' to group by; `columns` are y, c, d, t"):
        schema.measured("who")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none.yaml: no such file; expected a schema file, as `nasrec-automl schema infer`"
    ):
        load_table_schema(tmp_path / "none.yaml")
