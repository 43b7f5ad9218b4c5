import pytest
import torch

from nasrec_automl.ops.base import add_padded


def test_one_tensor_is_itself() -> None:
    x = torch.rand(2, 3)
    assert add_padded([x]) is x


@pytest.mark.parametrize("count", [2, 3])
def test_narrower_tensors_are_padded_on_the_right(count: int) -> None:
    tensors = [torch.full((2, width), float(width)) for width in (1, 3, 2)[:count]]
    expected = [4.0, 3.0, 3.0] if count == 2 else [6.0, 5.0, 3.0]
    torch.testing.assert_close(add_padded(tensors), torch.tensor([expected, expected]))
    assert [t.shape[1] for t in tensors] == [1, 3, 2][:count]
