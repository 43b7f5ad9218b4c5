"""The variants: each changes one thing of how an architecture is trained from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nasrec_automl.config import Job
from nasrec_automl.hyper_space import HyperSpace
from nasrec_automl.pipeline.scratch import default_hyper, has_teachers

OURS = "ours"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One change.

    Attributes:
        name: in the table and on the command line.
        retrain: settings of the retrain section in place of the job's.
        hyper: hyper-parameters in place of those that trainings begin with.
        teachers: whether the job's teachers have a say in the labels; without them, trainings begin otherwise.
    """

    name: str
    retrain: Mapping[str, Any] = field(default_factory=dict)
    hyper: Mapping[str, Any] = field(default_factory=dict)
    teachers: bool = True


_VARIANTS = (
    Variant(name=OURS),
    Variant(name="labels alone", teachers=False),
    Variant(name="no decay", hyper={"weight_decay": 0.0, "embedding_decay": 0.0}),
    Variant(name="rows decay as weights", hyper={"embedding_decay": None}),
    Variant(name="weights decay as rows", hyper={"weight_decay": 3e-5}),
    Variant(name="rows decay by 3e-4", hyper={"embedding_decay": 3e-4}),
    Variant(name="no dropout", hyper={"dropout": 0.0}),  # as ours, where there are teachers
    Variant(name="dropout 0.1", hyper={"dropout": 0.1}),
    Variant(name="begun as by labels alone", hyper={"dropout": 0.1, "embedding_decay": 3e-4}),
    Variant(name="dropout 0.3", hyper={"dropout": 0.3}),
    Variant(name="LayerNorm", hyper={"layer_norm": True}),
    Variant(name="batches of 256", hyper={"batch_size": 256}),
    Variant(name="rate 0.1", hyper={"learning_rate": 0.1}),
    Variant(name="rate 0.3", hyper={"learning_rate": 0.3}),
    Variant(name="Adam, rate 1e-3", hyper={"optimizer": "adam", "learning_rate": 1e-3}),
    Variant(name="last weights", retrain={"average_weights": False}),
    Variant(name="clipped at 5", retrain={"clip_norm": 5.0}),
    Variant(name="schedule of 4 epochs", retrain={"max_epochs": 4}),
)


def variants() -> dict[str, Variant]:
    """Every variant by name, the job's own settings first."""
    return {variant.name: variant for variant in _VARIANTS}


def changed(job: Job, variant: Variant) -> Job:
    """The job, whose trainings begin with the variant's settings."""
    hyper = default_hyper(job, taught=variant.teachers and has_teachers(job))
    values = {name: variant.hyper.get(name, getattr(hyper, name)) for name in HyperSpace.model_fields}
    space = HyperSpace.model_validate({name: value for name, value in values.items() if value is not None})
    retrain = job.retrain.model_copy(update={**variant.retrain, "space": space})
    return job.model_copy(update={"retrain": retrain})
