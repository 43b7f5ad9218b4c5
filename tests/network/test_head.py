import math

import torch

from nasrec_automl.network.block import Source
from nasrec_automl.network.head import Head, clear_head
from nasrec_automl.testing.examples import move_vectors


def make(dense: int = 6, own: int = 5, merged: int = 8) -> tuple[Head, Source]:
    head = Head(6, {"s2": 5, "s2_merged": 8}, 4)
    move_vectors(head)
    tokens = [("s2", torch.rand(3, 4, own))] + ([("s2_merged", torch.rand(3, 4, merged))] if merged else [])
    return head, Source(torch.rand(3, dense), tuple(tokens))


def test_one_linear_over_dense_output_and_flattened_tokens() -> None:
    head, last = make()
    weight = torch.cat([head.dense, head.tokens["s2"].flatten(), head.tokens["s2_merged"].flatten()])
    features = torch.cat([last.dense, last.tokens[0][1].flatten(1), last.tokens[1][1].flatten(1)], dim=1)
    torch.testing.assert_close(Head.features(last), features)
    torch.testing.assert_close(head(last), features @ weight + head.bias)


def test_a_smaller_last_block_reads_a_leading_slice() -> None:
    head, last = make(dense=4, own=3, merged=0)
    expected = last.dense @ head.dense[:4] + torch.einsum("ben,en->b", last.tokens[0][1], head.tokens["s2"][:, :3])
    torch.testing.assert_close(head(last), expected + head.bias)
    assert head.weight(4, {"s2": 3}).shape == (4 + 4 * 3,)


def test_it_starts_as_one_xavier_uniform_linear() -> None:
    torch.manual_seed(0)
    head = Head(100, {"s": 50}, 16)
    bound = math.sqrt(6 / (100 + 50 * 16 + 1))
    values = torch.cat([head.dense, head.tokens["s"].flatten()])
    assert 0.95 * bound < values.abs().max() <= bound
    assert head.bias == 0


def test_cleared_it_gives_logits_of_zero() -> None:
    head, last = make()
    assert head(last).all()
    clear_head(head)
    assert not head(last).any()
