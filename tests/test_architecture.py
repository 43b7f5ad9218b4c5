import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.architecture import DENSE_OPS, Architecture, Block, Live, Path
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.published import read_published, write_published
from nasrec_automl.space import SearchSpace, load_architecture, load_search_space
from nasrec_automl.testing.examples import tiny_space, with_choice
from nasrec_automl.testing.strategies import architectures, spaces_and_architectures

SPACE = tiny_space()


def block(**changes: object) -> Block:
    fields = {
        "dense_op": "fc",
        "sparse_op": "efc",
        "dense_dim": 4,
        "sparse_dim": 3,
        "dense_inputs": (0,),
        "sparse_inputs": (0,),
        "left": 0,
        "right": 0,
        "dense_to_sparse": False,
        "fm": False,
    }
    return Block(**{**fields, **changes})


def make(*blocks: Block) -> Architecture:
    return Architecture(SPACE, blocks)


def live(architecture: Architecture) -> list[str]:
    """Such as `ds--`: dense, sparse, dense-to-sparse, fm."""
    return [
        "".join(
            c if alive else "-" for c, alive in zip("dsmf", (b.dense, b.sparse, b.dense_to_sparse, b.fm), strict=True)
        )
        for b in architecture.live
    ]


def needed(architecture: Architecture) -> list[str]:
    """Liveness by another way: forward reachability of the logit over a graph of nodes."""
    edges: dict[tuple[str, int], list[tuple[str, int]]] = {}
    n = len(architecture.blocks)
    for number, b in enumerate(architecture.blocks, 1):
        dense = (
            [("D", b.left), ("D", b.right)]
            if b.dense_op in ("sum", "sigmoid_gating")
            else [("D", s) for s in b.dense_inputs]
        )
        tokens = [("S", s) for s in b.sparse_inputs]
        edges["d", number] = dense + (tokens if b.dense_op in ("dot_product", "flat_fc", "bi_interaction") else [])
        edges["s", number] = tokens
        edges["m", number], edges["f", number] = [("d", number)], [("s", number)]
        edges["D", number] = [("d", number)] + ([("f", number)] if b.fm else [])
        edges["S", number] = [("s", number)] + ([("m", number)] if b.dense_to_sparse else [])
    reached, todo = set(), [("D", n), ("S", n)]
    while todo:
        node = todo.pop()
        if node not in reached:
            reached.add(node)
            todo += edges.get(node, [])
    return ["".join(c if (c, number) in reached else "-" for c in "dsmf") for number in range(1, n + 1)]


@given(spaces_and_architectures())
def test_liveness_is_reachability_of_the_logit(architecture: Architecture) -> None:
    assert live(architecture) == needed(architecture)


def test_a_block_that_nothing_reads_is_dead() -> None:
    assert live(make(block(), block(dense_to_sparse=True, fm=True), block())) == ["----", "----", "ds--"]


def test_half_blocks_live_alone() -> None:
    # Block 3's Dot-Product reads the tokens of block 1 and the dense output of block 2.
    last = block(dense_op="dot_product", dense_inputs=(2,), sparse_inputs=(1,))
    assert live(make(block(), block(), last)) == ["-s--", "d---", "ds--"]


@pytest.mark.parametrize("op", DENSE_OPS)
def test_dense_operators_that_read_tokens_keep_them_alive(op: str) -> None:
    # Of block 1 the tokens are read by block 2, whose own tokens nothing reads.
    reader = block(dense_op=op, sparse_inputs=(1,))
    first = live(make(block(), reader, block(dense_inputs=(2,))))[0]
    assert first == ("-s--" if op in ("dot_product", "flat_fc", "bi_interaction") else "----")


def test_mergers_keep_the_other_half_alive() -> None:
    last = block(dense_inputs=(1,), sparse_inputs=(2,))
    first, second = block(fm=True, dense_to_sparse=True), block(dense_to_sparse=True, fm=True)
    # Of block 1 the dense output is read: its FM keeps the sparse operator alive. Of block 2 the tokens.
    assert live(make(first, second, last)) == ["ds-f", "dsm-", "ds--"]


def test_sides_are_read_by_two_input_operators_alone() -> None:
    sides = {"dense_inputs": (0,), "left": 1, "right": 2}
    assert live(make(block(), block(), block(dense_op="sum", **sides))) == ["d---", "d---", "ds--"]
    assert live(make(block(), block(), block(dense_op="fc", **sides))) == ["----", "----", "ds--"]


def test_a_paths_operators_read_what_any_of_them_reads() -> None:
    blocks = make(block(), block(), block(dense_inputs=(1,), left=2)).path.blocks
    both = Path((*blocks[:2], replace(blocks[2], dense_ops=("fc", "sum"))))
    assert [b.dense for b in both.live] == [True, True, True]
    assert both.live[0] == Live(dense=True, sparse=False, dense_to_sparse=False, fm=False)


def test_the_order_of_sums_inputs_is_no_difference_and_that_of_the_gate_is() -> None:
    for op, equal in (("sum", True), ("sigmoid_gating", False)):
        one = make(block(), block(), block(dense_op=op, left=1, right=2))
        other = make(block(), block(), block(dense_op=op, left=2, right=1))
        assert (one.key == other.key) is equal


def test_block_positions_stay() -> None:
    # The same network in block 1 and in block 2: the supernet's weights differ.
    first = make(block(), block(), block(dense_inputs=(1,)))
    second = make(block(), block(), block(dense_inputs=(2,)))
    assert first.key != second.key


def test_what_an_operator_does_not_read_drops_out_of_the_effective_form() -> None:
    form = make(block(), block(), block(dense_op="sum", dense_inputs=(0, 1), left=2, right=0)).effective
    assert form[0] == {}
    assert form[1] == {"dense": ["fc", 4], "inputs": (0,)}
    assert form[2] == {"dense": ["sum", 4], "inputs": [0, 2], "sparse": ["efc", 3], "tokens": (0,)}


def test_tokens_that_dot_product_alone_reads_are_in_the_key() -> None:
    last = block(dense_inputs=(2,))
    keys = {
        make(block(), block(dense_op="dot_product", sparse_inputs=tokens), last).key for tokens in ((0,), (1,), (0, 1))
    }
    assert len(keys) == 3
    # Nobody reads those of a dead sparse operator beside another dense one.
    keys = {make(block(), block(sparse_inputs=tokens), last).key for tokens in ((0,), (1,), (0, 1))}
    assert len(keys) == 1


@given(spaces_and_architectures(), st.data())
def test_one_change_keeps_the_key_exactly_when_it_keeps_the_effective_form(
    architecture: Architecture, data: st.DataObject
) -> None:
    space = architecture.space
    if not space.labels:
        return
    label = data.draw(st.sampled_from(sorted(space.labels)))
    other = with_choice(architecture, label, data.draw(st.sampled_from(space.labels[label])))
    assert (architecture.key == other.key) == (architecture.effective == other.effective)
    number, key = label.split("/")
    dead = architecture.live[int(number.removeprefix("block")) - 1] == Live(False, False, False, False)
    if dead and key not in ("dense_to_sparse", "fm"):
        assert architecture.key == other.key


def test_keys_are_sixteen_digits_that_never_change() -> None:
    # Studies hold keys: another value here orphans every study that anyone has.
    assert load_architecture("criteo-full").key == "c5277f9c297054e4"
    assert load_architecture("kdd12-small").key == "4f0c495e6b59a67b"


@given(spaces_and_architectures())
def test_parameters_round_trip(architecture: Architecture) -> None:
    space = architecture.space
    assert list(architecture.params) == list(space.labels)
    again = space.from_params(architecture.params)
    assert (again, again.key) == (architecture, architecture.key)
    # Through JSON, as a database or NNI hands them back, in any order.
    shuffled = dict(reversed(json.loads(json.dumps(architecture.params)).items()))
    assert space.from_params(shuffled) == architecture


@given(spaces_and_architectures())
def test_json_round_trips(architecture: Architecture) -> None:
    text = architecture.to_json()
    assert Architecture.from_json(text, architecture.space) == architecture
    assert json.loads(text) == {"space": "drawn", "key": architecture.key, "params": architecture.params}


@given(architectures(load_search_space("nasrec-full")))
def test_json_finds_a_space_that_ships(architecture: Architecture) -> None:
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"params": {}}', '{"space": "nasrec-full"}'])
def test_other_json_is_an_error(text: str) -> None:
    with pytest.raises(ArchitectureError, match=r'an architecture is a JSON object \{"space": name'):
        Architecture.from_json(text)


@pytest.mark.parametrize("params", ["[]", "null", '["block1/fm"]', '"fm"'])
def test_parameters_that_are_no_object_are_an_error(params: str) -> None:
    with pytest.raises(ArchitectureError, match="is a JSON object"):
        Architecture.from_json(f'{{"space": "nasrec-full", "params": {params}}}')


@pytest.mark.parametrize("name", ["null", "3", '["nasrec-full"]'])
def test_a_space_that_is_no_name_is_an_error(name: str) -> None:
    with pytest.raises(ArchitectureError, match="is a JSON object"):
        Architecture.from_json(f'{{"space": {name}, "params": {{}}}}')


def test_the_published_form_is_told_from_ours(tmp_path: FilePath) -> None:
    file, architecture = tmp_path / "theirs.json", load_architecture("criteo-full")
    file.write_text(write_published(architecture))
    with pytest.raises(ArchitectureError, match=rf"{file}: this is the published JSON form: read it with .*\(text\)"):
        load_architecture(file)
    assert Architecture.from_json(read_published(file.read_text()).to_json()) == architecture


def test_json_of_another_space_names_both() -> None:
    text = load_architecture("criteo-full").to_json()
    with pytest.raises(ArchitectureError, match="of the space 'nasrec-full', but 'tiny' is expected"):
        Architecture.from_json(text, SPACE)


def test_json_of_a_space_that_does_not_ship_wants_the_space(tmp_path: FilePath) -> None:
    architecture, file = SPACE.random(np.random.default_rng(0)), tmp_path / "mine.json"
    file.write_text(architecture.to_json())
    with pytest.raises(ArchitectureError, match=rf"{file}: its space 'tiny' does not ship .*: pass space="):
        load_architecture(file)
    assert load_architecture(file, SPACE) == architecture


@given(architectures(SPACE))
def test_the_path_is_the_architecture_in_singletons(architecture: Architecture) -> None:
    for chosen, b in zip(architecture.path.blocks, architecture.blocks, strict=True):
        assert (chosen.dense_ops, chosen.sparse_ops) == ((b.dense_op,), (b.sparse_op,))
        assert (chosen.left, chosen.right) == ((b.left,), (b.right,))
        for key in ("dense_dim", "sparse_dim", "dense_inputs", "sparse_inputs", "dense_to_sparse", "fm"):
            assert getattr(chosen, key) == getattr(b, key)
    assert architecture.path.live == architecture.live


def test_architectures_are_immutable_values() -> None:
    one, other = (SPACE.random(np.random.default_rng(3)) for _ in range(2))
    assert one == other
    assert len({one, other}) == 1
    with pytest.raises(FrozenInstanceError):
        one.blocks = ()  # type: ignore[misc]


def test_the_text_has_one_line_a_block_and_brackets_around_what_is_dead() -> None:
    text = str(make(block(fm=True), block(), block(dense_op="sum", left=0, right=2, dense_to_sparse=True)))
    assert text.splitlines() == [
        "block 1: [fc(s0) -> 4]; [efc(s0) -> 3]; [fm]",
        "block 2: fc(s0) -> 4; [efc(s0) -> 3]",
        "block 3: sum(s0, s2) -> 4; efc(s0) -> 3; dense-to-sparse",
    ]


def test_the_text_says_which_tokens_a_dense_operator_reads() -> None:
    last = block(dense_op="dot_product", dense_inputs=(2,), sparse_inputs=(0, 1))
    assert str(make(block(), block(), last)).splitlines()[-1] == (
        "block 3: dot_product(s2; tokens s0 s1) -> 4; efc(s0 s1) -> 3"
    )


def test_spaces_of_one_name_and_other_choices_are_other_spaces() -> None:
    other = SearchSpace(**{**SPACE.model_dump(), "dense_dims": (4, 7)})
    assert Architecture(SPACE, make(block(), block(), block()).blocks) != Architecture(
        other, make(block(), block(), block()).blocks
    )


def test_a_path_is_one_line_in_messages() -> None:
    same = block(dense_op="fc", dense_inputs=(0,), sparse_inputs=(0,), left=0, right=0)
    other = block(dense_op="sum", dense_inputs=(0, 1), sparse_inputs=(0,), left=1, right=0, fm=True)
    first, second = str(make(same, other).path).split("; ")
    assert first == f"block1 fc {same.dense_dim}, {same.sparse_op} {same.sparse_dim}, inputs s0"
    assert second == (
        f"block2 sum {other.dense_dim}, {other.sparse_op} {other.sparse_dim}, "
        "dense_inputs s0+s1, sparse_inputs s0, left s1, right s0, fm"
    )
