import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.training.schedule import warm_up_cosine


def rates(steps: int, warm_up: float, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = warm_up_cosine(optimizer, steps=steps, warm_up=warm_up)
    seen = []
    for _ in range(count):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_linear_rise_then_cosine_to_zero() -> None:
    seen = rates(100, 0.1, 103)
    assert seen[:10] == pytest.approx([0.4 * (step + 1) / 10 for step in range(10)])
    assert seen[10] == pytest.approx(0.4)
    assert seen[10:100] == pytest.approx([0.2 * (1 + math.cos(math.pi * step / 90)) for step in range(90)])
    assert seen[55] == pytest.approx(0.2)
    assert seen[100:] == pytest.approx([0, 0, 0])


@given(st.integers(1, 60), st.floats(0, 1))
def test_every_step_learns_none_above_the_peak_and_nothing_after_the_last(steps: int, warm_up: float) -> None:
    *seen, after, later = rates(steps, warm_up, steps + 2)
    assert all(0 < rate <= 0.4 + 1e-12 for rate in seen)
    assert after == later == 0
    peak = seen.index(max(seen))
    assert seen[: peak + 1] == sorted(seen[: peak + 1])
    assert seen[peak:] == sorted(seen[peak:], reverse=True)
