"""The variants: each changes one thing of a job's supernet, or of how it scores."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import yaml

from nasrec_automl.config import AdagradHead, HeadConfig, Job, RidgeHead
from nasrec_automl.config_training import SupernetConfig
from nasrec_automl.sampling import PATH_SAMPLERS
from tests.benchmarks.ablations.masked import masked
from tests.benchmarks.ablations.unbalanced import unbalanced

OURS, UNBALANCED = "ours", "unbalanced-dot-product"

_TRAINING = (
    ("clip-5", "clip_norm", 5.0),
    ("eps-0.01", "eps", 1e-2),
    ("dropout", "dropout", 0.1),
    ("decay", "weight_decay", 1e-4),
    ("labels-alone", "teacher_share", 0.0),
)
"""The published clipping and eps, what is to keep a supernet of small data from learning rows by heart, and without it.
"""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One change.

    Attributes:
        name: in the table, on the command line, and of its folder.
        group: which part of the method it is about.
        supernet: settings of the supernet section in place of the job's.
        head: in place of the job's; the supernets are ours.
        swap: what other code a supernet is trained and scored with; None for the package's own.
        note: what a reader of the table must know.
    """

    name: str
    group: str
    supernet: Mapping[str, Any] = field(default_factory=dict)
    head: HeadConfig | None = None
    swap: Callable[[], AbstractContextManager[None]] | None = None
    note: str = ""


def changed(job: Job, settings: Sequence[str]) -> Variant:
    """A variant of one's own.

    Args:
        job: whose supernet section is changed.
        settings: `key=value` of that section, the value as a job file has it.

    Raises:
        ValueError: no such setting, or a bad value of it.
    """
    if bad := [setting for setting in settings if "=" not in setting]:
        raise ValueError(f"expected KEY=VALUE, not {bad[0]!r}")
    read = dict(setting.partition("=")[::2] for setting in settings)
    try:
        values = {key: yaml.safe_load(value) for key, value in read.items()}
    except yaml.YAMLError as error:
        raise ValueError(f"{' '.join(settings)}: a value is no YAML: {error}") from None
    valid = SupernetConfig.model_validate({**job.supernet.model_dump(), **values})
    name = ",".join(f"{key}={value}" for key, value in read.items())
    return Variant(name=name, group="as asked", supernet={key: getattr(valid, key) for key in values})


def variants(job: Job) -> dict[str, Variant]:
    """Every variant of a job by name, its own settings first."""
    found = [Variant(name=OURS, group="the job")]
    for sampling in PATH_SAMPLERS:
        if sampling != job.supernet.sampling:
            found.append(Variant(name=sampling, group="path sampling", supernet={"sampling": sampling}))
    usual = SupernetConfig().path_warm_up
    steps, name = (0.0, "no-warm-up") if job.supernet.path_warm_up else (usual, "warm-up")
    found.append(Variant(name=name, group="path warm-up", supernet={"path_warm_up": steps}))
    name = "no-layer-norm" if job.supernet.layer_norm else "layer-norm"
    found.append(Variant(name=name, group="LayerNorm", supernet={"layer_norm": not job.supernet.layer_norm}))
    for name, key, value in _TRAINING:
        if getattr(job.supernet, key) != value:
            found.append(Variant(name=name, group="training", supernet={key: value}))
    heads = {
        "ridge-head": RidgeHead(),
        "adagrad-head": AdagradHead(method="adagrad"),
        "unfitted-head": AdagradHead(method="adagrad", steps=0),
    }
    own = job.search.head
    for name, head in heads.items():
        if head.method != own.method or bool(head.rows) != bool(own.rows):
            found.append(Variant(name=name, group="head", head=head))
    found.append(
        Variant(
            name=UNBALANCED,
            group="Dot-Product",
            swap=unbalanced,
            note="its scores are compared with trainings from scratch that have the balanced operator",
        )
    )
    found.append(Variant(name="masked", group="one function", swap=masked))
    return {variant.name: variant for variant in found}
