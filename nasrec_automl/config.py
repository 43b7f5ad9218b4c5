"""The job file: one YAML file, the only configuration.

Every path in it is relative to the file's own folder, or begins with `~`. A stage reads its own section and `budget`;
what trains from scratch, such as the search's check and the final stage, reads `retrain` too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from nasrec_automl.config_changes import with_changes
from nasrec_automl.config_experiment import ExperimentConfig
from nasrec_automl.config_paths import absolute, url_from
from nasrec_automl.config_ranking import RankConfig, TuneConfig, VerdictConfig
from nasrec_automl.config_training import RetrainConfig, SupernetConfig
from nasrec_automl.config_types import (
    Count,
    Duration,
    Fraction,
    Inputs,
    Option,
    PositiveFloat,
    Section,
    Seed,
    TableSize,
    Whole,
    whole,
)
from nasrec_automl.errors import JobError
from nasrec_automl.yaml_files import complaint, load_yaml


class FieldConfig(Section):
    """How a categorical field's embedding table is made; what is left out is as the source declares it.

    Attributes:
        kind: `vocabulary` gives each category a row, `hash` shares a fixed number of rows.
        min_count: training rows that a category of a vocabulary needs for a row of its own.
        max_table_size: a vocabulary keeps so many rows, the most frequent; a hash has exactly so many.
        compositional: two small tables, together about this many times smaller (arXiv 1909.02107).
    """

    kind: Literal["vocabulary", "hash"] | None = None
    min_count: Count | None = None
    max_table_size: TableSize | None = None
    compositional: Annotated[Whole, Field(ge=2)] | None = None


class DenseConfig(Section):
    """How a number feature is made; what is left out is as the source declares it.

    Attributes:
        transform: `log`, `standardise`, `quantile` or `none`.
        flag_missing: whether a second feature says 1 where the value is missing.
    """

    transform: Literal["log", "standardise", "quantile", "none"] | None = None
    flag_missing: bool | None = None


def _named_transform(value: Any) -> Any:
    return {"transform": value} if isinstance(value, str) else value


class FieldDefaults(Section):
    """Options of all fields, in place of what the source declares; what a schema says of a single field stays.

    Attributes:
        categorical: of the categorical fields' tables.
        dense: of the number features; a transform's name stands for it.
    """

    categorical: FieldConfig = Field(default_factory=FieldConfig)
    dense: Annotated[DenseConfig, BeforeValidator(_named_transform)] = Field(default_factory=DenseConfig)


_BESIDE_OPTIONS = ("name", "paths", "validation", "test", "schema", "defaults", "downloads", "measured", "group")
"""What else `open_source` takes."""


def check_option_names(source: str, options: Mapping[str, Any]) -> None:
    """Check that no option of a data source is called as what stands beside its options.

    Raises:
        JobError: one is.
    """
    for name in _BESIDE_OPTIONS:
        if name in options:
            raise JobError(
                f"source {source!r} has no option {name!r}: leave it out; schema, validation and test are given beside "
                "the options"
            )


class DataConfig(Section):
    """Where the data come from.

    Attributes:
        source: `criteo`, `avazu`, `kdd12`, `table`, `movielens`, `flights`, `synthetic`, or `prepared` (a folder that
            `nasrec-automl prepare` wrote).
        input: a file, folder or glob of raw data, or several, or the one prepared folder. Without it MovieLens and
            flights are fetched.
        validation: the same of validation rows, for the split `given`; `input` is then training alone.
        test: the same of test rows, for the split `given`.
        table_schema: of `table`; the job calls it `schema`, which pydantic has another use for.
        max_rejected: share of the rows that may be bad; they are left out.
        split: `random` (stratified by the label), `time`, or `given`: by `validation` and `test`, or by the column that
            the schema names. Without it `given` where the schema names one, else `random`.
        seed: seed of the split.
        options: options of the source, such as `rows` and `seed` of `synthetic`.
        hash_above: rows of the largest embedding table; a field with more categories is hashed into so many.
        defaults: how all fields are made.
        fields: how a field's table is made, by the field's name, in place of `defaults`. `hash_above` leaves
            compositional fields alone.
    """

    model_config = ConfigDict(populate_by_name=True)

    source: str
    input: Inputs | None = None
    validation: Inputs | None = None
    test: Inputs | None = None
    table_schema: Annotated[Path | None, Field(alias="schema")] = None
    max_rejected: Fraction = 0.001
    split: Literal["random", "time", "given"] | None = None
    seed: Seed = 2018
    options: dict[str, Option] = Field(default_factory=dict)
    hash_above: TableSize | None = None
    defaults: FieldDefaults = FieldDefaults()
    fields: dict[str, FieldConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _options_are_the_sources(self) -> DataConfig:
        check_option_names(self.source, self.options)
        return self

    @model_validator(mode="after")
    def _tables_are_ours_to_make(self) -> DataConfig:
        if (self.validation is None) != (self.test is None):
            raise ValueError("validation and test go together: give files for both, or for neither")
        if self.validation is not None and self.split != "given":
            raise ValueError("validation and test are read for the split `given`: set split: given")
        asked = (
            self.fields
            or self.defaults != FieldDefaults()
            or self.hash_above is not None
            or self.table_schema is not None
        )
        if self.source == "prepared" and asked:
            raise ValueError(
                "hash_above, defaults, fields and schema decide how data are prepared, but the source is `prepared`"
            )
        if self.source == "prepared" and isinstance(self.input, tuple):
            raise ValueError(
                f"input of `prepared` is one folder, but there are {len(self.input)}: prepare them together"
            )
        return self

    @property
    def made_by_default(self) -> dict[str, dict[str, Any]]:
        """What `defaults` ask for, as `open_source` takes it; a hash of no other size has `hash_above` rows."""
        asked = self.defaults.model_dump(exclude_none=True)
        tables = asked["categorical"]
        if tables.get("kind") == "hash" and not tables.keys() & {"max_table_size", "compositional"}:
            tables |= {} if self.hash_above is None else {"hash_above": self.hash_above}
        return asked

    @property
    def prepared(self) -> Path | None:
        """The prepared folder, where the job names one."""
        return self.input if self.source == "prepared" and isinstance(self.input, Path) else None


class RidgeHead(Section):
    """The final Linear is the solution of a logistic regression with a ridge towards the supernet's head.

    Attributes:
        method: `ridge`.
        strength: of the ridge: about the number of rows that the supernet's head is worth.
        max_rows: at most so many rows of the head part are used.
    """

    method: Literal["ridge"] = "ridge"
    strength: PositiveFloat = 1000.0
    max_rows: Count = 50_000

    @property
    def rows(self) -> int:
        """How many rows it can use."""
        return self.max_rows


class AdagradHead(Section):
    """The final Linear takes a few Adagrad steps from the supernet's (arXiv 2207.07187).

    Attributes:
        method: `adagrad`.
        steps: how many; 0 keeps the supernet's head.
        batch_size: rows a step.
        learning_rate: of those steps.
    """

    method: Literal["adagrad"]
    steps: Annotated[Whole, Field(ge=0)] = 100
    batch_size: Count = 512
    learning_rate: PositiveFloat = 0.04

    @property
    def rows(self) -> int:
        """How many rows it can use."""
        return self.steps * self.batch_size


_NO_METHOD = "no_method"
_UNKNOWN = "extra_forbidden"


def _method(head: Any) -> str:
    """Method of a head that is still to be validated: the default one where none is named."""
    return str(head.get("method", "ridge") if isinstance(head, dict) else getattr(head, "method", "ridge"))


HeadConfig = Annotated[
    Annotated[RidgeHead, Tag("ridge")] | Annotated[AdagradHead, Tag("adagrad")],
    Discriminator(_method, custom_error_type=_NO_METHOD, custom_error_message="expected a method, ridge or adagrad"),
]
"""Fitting of the final Linear before an architecture is scored; `method` says how."""

_HEADS: dict[str, Any] = {"ridge": RidgeHead, "adagrad": AdagradHead}


Objective = Literal["log_loss", "macs", "parameters", "latency_ms"]
SamplerName = Literal["evolution", "nsga2", "tpe", "random"]


class SearchConfig(Section):
    """The search over the weight-sharing evaluator, by evolution (arXiv 2207.07187) or another sampler.

    Attributes:
        architectures: how many architectures are scored.
        timeout: once the scores of the study have taken so long together, the best so far are the search's result.
        objectives: what is minimised: `log_loss` first, then any costs.
        sampler: what proposes architectures. Of several objectives it is `nsga2` by default, and not `evolution`.
        population: how many are alive; also the number of random ones at the start.
        tournament: how many of them compete to be a parent; by default half of them.
        children: how many children a generation has.
        head: fitting of the head.
        max_rows: at most so many rows of the search part are scored; all of them by default.
        early_stop: an architecture that is surely worse than this many others reads no more rows; 0 for never. Of
            several objectives all rows are read: what scores worse may still be on the front, for its cost.
        verdict: how the scores are checked against trainings from scratch.
    """

    architectures: Count = 2048
    timeout: Duration | None = None
    objectives: tuple[Objective, ...] = ("log_loss",)
    sampler: SamplerName = "evolution"
    population: Count = 128
    tournament: Count = 64
    children: Count = 8
    head: HeadConfig = RidgeHead()
    max_rows: Count | None = None
    early_stop: Annotated[Whole, Field(ge=0)] = 16
    verdict: VerdictConfig = VerdictConfig()

    @model_validator(mode="before")
    @classmethod
    def _sampler_of_several(cls, content: Any) -> Any:
        if isinstance(content, dict) and "sampler" not in content:
            objectives = content.get("objectives", ())
            if isinstance(objectives, list | tuple) and len(objectives) > 1:
                return {**content, "sampler": "nsga2"}
        return content

    @model_validator(mode="before")
    @classmethod
    def _tournament_of_population(cls, content: Any) -> Any:
        if isinstance(content, dict) and "tournament" not in content:
            population = whole(content.get("population"))
            if isinstance(population, int) and population > 0:
                return {**content, "tournament": max(1, population // 2)}
        return content

    @model_validator(mode="after")
    def _objectives_fit(self) -> SearchConfig:
        if self.objectives[:1] != ("log_loss",) or len({*self.objectives}) < len(self.objectives):
            raise ValueError(f"objectives must hold log_loss first and nothing twice, but hold {[*self.objectives]}")
        if self.several and self.sampler == "evolution":
            raise ValueError(
                f"sampler evolution has one objective, but there are {len(self.objectives)} "
                f"({', '.join(self.objectives)}): choose nsga2, tpe or random"
            )
        if self.sampler == "nsga2" and self.population < 2:
            raise ValueError(f"population must be at least 2 with sampler nsga2, but it is {self.population}")
        return self

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return len(self.objectives) > 1

    @property
    def derived(self) -> set[str]:
        """Names of fields whose values follow from others: a job that notes them could not change the others alone."""
        usual = {"tournament": max(1, self.population // 2), "sampler": "nsga2" if self.several else "evolution"}
        return {name for name, value in usual.items() if getattr(self, name) == value}

    @property
    def random_warning(self) -> str:
        """That all is drawn at random, though a sampler is asked for that learns, and what to change; else nothing."""
        if self.sampler == "random" or self.architectures > self.population:
            return ""
        return (
            f"search.architectures ({self.architectures}) does not exceed search.population ({self.population}): all "
            f"are drawn at random; lower search.population, or raise search.architectures, for the sampler "
            f"{self.sampler} to learn from scores"
        )

    @model_validator(mode="after")
    def _tournament_fits(self) -> SearchConfig:
        if self.sampler == "evolution" and self.tournament > self.population:
            raise ValueError(f"tournament ({self.tournament}) must not exceed population ({self.population})")
        return self


class BudgetConfig(Section):
    """What an architecture may cost; a limit that is left out does not bind.

    The supernet is trained on the whole space whatever the budget. Search, retrain, final and export keep to it.

    Attributes:
        macs: most multiply-adds per example.
        parameters: most parameters, embedding tables included, as the report counts them.
        latency_ms: longest forward pass of the subnet on `batch_size` rows, in milliseconds, on the job's device.
        batch_size: rows of that pass.
    """

    macs: Count | None = None
    parameters: Count | None = None
    latency_ms: PositiveFloat | None = None
    batch_size: Count = 512

    @property
    def limits(self) -> dict[str, float]:
        """The limits that bind, by name."""
        limits: dict[str, float] = self.model_dump(mode="json", exclude_none=True, exclude={"batch_size"})
        return limits


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"expected letters from a to z, digits, '-', '_' and, not first, '.', but it is {name!r}")
    return name


DEFAULT_STORAGE = "sqlite:///studies.db"
"""URL of the studies' database where the job names none, seen from the run folder."""


class Job(Section):
    """A whole job.

    Attributes:
        name: of the job, its run folder and its studies.
        run_folder: where everything is written; `runs/<name>` by default.
        seed: all randomness derives from it.
        space: a search space's name, or the path of its YAML file.
        embedding_dim: E, the width of every embedding.
        device: `cpu` or `cuda`.
        precision: `float32`, or `bfloat16`: of products, in trainings and scores. Weights are float32 always.
        devices: processes that train the supernet, each on cores or a GPU of its own; they share each batch.
        continues: run folder of an earlier job on the same tables, such as of the days before: the supernet starts from
            its weights, and the search from its winner.
        storage: SQLAlchemy URL of the studies' database; SQLite in the run folder by default.
    """

    # No dot first: of `..` the run folder would be the folder of the job file.
    name: Annotated[str, AfterValidator(_plain_name)]
    run_folder: Path = Path()
    seed: Seed = 2018
    space: str = "nasrec-full"
    embedding_dim: Count = 16
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    devices: Count = 1
    continues: Path | None = None
    storage: str | None = None
    data: DataConfig
    supernet: SupernetConfig = SupernetConfig()
    budget: BudgetConfig = BudgetConfig()
    search: SearchConfig = SearchConfig()
    retrain: RetrainConfig = RetrainConfig()
    rank: RankConfig = RankConfig()
    tune: TuneConfig = TuneConfig()
    experiment: ExperimentConfig = ExperimentConfig()

    @property
    def storage_url(self) -> str:
        """URL of the studies' database."""
        return self.storage or url_from(DEFAULT_STORAGE, self.run_folder.joinpath)


def load_job(path: str | Path, changes: Mapping[str, Any] | None = None) -> Job:
    """Read and validate a job file; every path in the result is absolute.

    Args:
        path: of the file.
        changes: values in place of the file's, by key, such as `{"seed": 2019, "search.architectures": 64}`; a path
            among them is relative to the file's folder too.

    Raises:
        JobError: the file is missing, no YAML, or a field is unknown or wrong; the message names file and field.
    """
    path = Path(path)
    if path.is_dir():
        raise JobError(f"{path}: is a folder, but a job is a YAML file: name {_job_file_of(path)}")
    if not path.is_file():
        raise JobError(f"{path}: no such job file; expected a YAML file with at least `name` and `data`")
    content = load_yaml(path, JobError)
    if not isinstance(content, dict):
        raise JobError(
            f"{path}: expected a mapping with at least `name` and `data`, but found {type(content).__name__}"
        )
    try:
        job = Job.model_validate(with_changes(content, changes or {}), context={"folder": path.resolve().parent})
    except ValidationError as error:
        changed = ", ".join(f"{key}={value}" for key, value in (changes or {}).items())
        where = f"{path} with {changed}" if changed else str(path)
        raise JobError("; ".join(f"{where}: {sentence}" for sentence in _sentences(error.errors()))) from None
    return absolute(job, path.resolve().parent)


def _job_file_of(folder: Path) -> str:
    """The job file that a folder may have been named for."""
    if (folder / "job.json").is_file():
        return f"the one that this run was started with, or {folder / 'job.json'}, the run's own note of it"
    found = sorted(folder.glob("*.yaml"))
    return str(folder / "job.yaml" if folder / "job.yaml" in found or not found else found[0])


def _sentences(errors: Sequence[Any]) -> list[str]:
    """One for each error, but for unknown fields one for each section, which says once what there is."""
    unknown: dict[tuple[str | int, ...], list[str]] = {}
    for error in errors:
        if error["type"] == _UNKNOWN:
            unknown.setdefault(error["loc"][:-1], []).append(_where(error))
    said = {
        section: f"{', '.join(names)}: no such field{'s' if len(names) > 1 else ''}; there are "
        f"{', '.join(_fields(section))}"
        for section, names in unknown.items()
    }
    sentences = (said[error["loc"][:-1]] if error["type"] == _UNKNOWN else _sentence(error) for error in errors)
    return list(dict.fromkeys(sentences))


def _where(error: Any) -> str:
    # Where a section has variants, pydantic puts the variant's name between section and field.
    where = ".".join(str(part) for part in error["loc"])
    for variant in _HEADS:
        where = where.replace(f".head.{variant}", ".head")
    return where


def _sentence(error: Any) -> str:
    where = _where(error)
    if error["type"] == _NO_METHOD:
        return f"{where}: {error['msg']}, but it is {_method(error['input'])!r}"
    return f"{where}: {complaint(error)}"


def _fields(section: tuple[str | int, ...]) -> list[str]:
    """Names of a section's fields."""
    model: Any = Job
    for before, name in itertools.pairwise(("", *section)):
        if before == "head":
            model = _HEADS[str(name)]
            continue
        named = get_args(model)  # of a mapping from names to sections, or of a tuple of them
        model = named[0 if isinstance(name, int) else 1] if named else model.model_fields[name].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
