"""What is told of a training's validations."""

from nasrec_automl.pipeline.telling import telling
from nasrec_automl.training.metrics import Metrics


def test_each_validation_is_told_with_the_training_s_name_and_ends_nothing() -> None:
    heard: list[tuple[str, int, Metrics]] = []
    metrics = Metrics(0.5, 0.7, 0.01, 100)
    report = telling(lambda *told: bool(heard.append(told)) or True, "final training 1 of 3")
    assert report(40, metrics) is False, "what the listener says ends no training"
    assert heard == [("final training 1 of 3", 40, metrics)]


def test_with_nobody_to_tell_it_ends_nothing_either() -> None:
    assert telling(None, "final training 1 of 3")(40, Metrics(0.5, 0.7, 0.01, 100)) is False
