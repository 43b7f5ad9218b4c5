"""Labels that teachers have a say in."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.distillation import best_together, taught_labels


@pytest.fixture
def rows() -> Rows:
    draw = np.random.default_rng(0)
    parts = [
        Rows(
            dense=draw.random((count, 2), np.float32),
            ids=draw.integers(5, size=(count, 2), dtype=np.uint8),
            label=draw.integers(2, size=count, dtype=np.uint8),
            weight=draw.random(count, np.float32),
        )
        for count in (30, 12)
    ]
    return Rows.concatenate(parts)


@pytest.fixture
def teachers(rows: Rows) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(len(rows), generator=generator) for _ in range(3)]


def test_the_loss_of_a_mixed_label_is_the_mix_of_the_losses(rows: Rows, teachers: list[torch.Tensor]) -> None:
    logits = torch.randn(len(rows))
    together = torch.sigmoid(sum(teachers) / 3)
    label = torch.from_numpy(np.asarray(rows.label).astype(np.float32))
    losses = [F.binary_cross_entropy_with_logits(logits, target, reduction="none") for target in (label, together)]
    mixed = torch.from_numpy(taught_labels(rows, teachers, 0.7))
    found = F.binary_cross_entropy_with_logits(logits, mixed, reduction="none")
    torch.testing.assert_close(found, 0.3 * losses[0] + 0.7 * losses[1])


def test_without_teachers_labels_are_the_rows_own(rows: Rows) -> None:
    assert (taught_labels(rows, [], 0.8) == np.asarray(rows.label)).all()


def test_a_share_of_nothing_and_of_all(rows: Rows, teachers: list[torch.Tensor]) -> None:
    assert (taught_labels(rows, teachers, 0) == np.asarray(rows.label)).all()
    alone = torch.sigmoid(teachers[0]).numpy()
    assert taught_labels(rows, teachers[:1], 1) == pytest.approx(alone)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (None, [2, 0]),  # each is sure of other rows; the one between errs on all
        ([1, 1, 0, 0], [0]),  # the other one is sure where nothing counts
    ],
)
def test_the_best_teach_together_and_bad_ones_not_at_all(weight: list[float] | None, expected: list[int]) -> None:
    rows = Rows(
        dense=np.zeros((4, 1), np.float32),
        ids=np.zeros((4, 1), np.uint8),
        label=np.array([1, 0, 1, 0], np.uint8),
        weight=None if weight is None else np.array(weight, np.float32),
    )
    logits = [torch.tensor(one) for one in ([4.0, -4.0, 0.5, 1.0], [-3.0, 3.0, -3.0, 3.0], [0.5, 0.9, 4.0, -4.0])]
    assert best_together(logits, rows, most=3) == expected
    assert best_together(logits, rows, most=1) == expected[:1]
    assert best_together(logits[:1], rows, most=3) == [0]
