import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError, SpaceError
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.space import (
    InputCount,
    SearchSpace,
    draw_inputs,
    join_sources,
    load_architecture,
    load_search_space,
    split_sources,
)
from nasrec_automl.testing.examples import assert_path_of, tiny_space, with_choice
from nasrec_automl.testing.strategies import search_spaces, spaces_and_architectures

SPACES = Path(__file__).parents[1] / "search_spaces"
FULL, SMALL = load_search_space("nasrec-full"), load_search_space("nasrec-small")


def test_sizes_of_nasrecs_spaces() -> None:
    assert f"{FULL.cardinality:.2e}" == "8.07e+43"
    assert f"{SMALL.cardinality:.2e}" == "1.94e+32"


def test_cardinality_counts_architectures() -> None:
    space = tiny_space(blocks=2, dense_dims=(4,), sparse_ops=("efc",), dense_ops=("fc", "sum"), fm=(True,))
    every = {
        space.from_params(dict(zip(space.labels, values, strict=True)))
        for values in itertools.product(*space.labels.values())
    }
    assert len(every) == space.cardinality == (2 * 2 * 2) * (2 * 2 * 2 * 3 * 3 * 2 * 2)


def test_labels_of_nasrecs_full_space() -> None:
    labels = FULL.labels
    assert labels["block3/dense_op"] == ("fc", "dot_product", "sigmoid_gating", "sum")
    assert labels["block3/sparse_op"] == ("efc", "attention")
    assert labels["block3/dense_dim"] == (16, 32, 64, 128, 256, 512, 768, 1024)
    assert labels["block3/sparse_dim"] == (16, 32, 48, 64)
    assert labels["block3/dense_inputs"] == ("s0", "s1", "s2", "s0+s1", "s0+s2", "s1+s2", "s0+s1+s2")
    assert labels["block3/sparse_inputs"] == labels["block3/dense_inputs"]
    assert labels["block3/left"] == labels["block3/right"] == ("s0", "s1", "s2")
    assert labels["block3/dense_to_sparse"] == labels["block3/fm"] == (False, True)
    # Up to 4 inputs out of 7 sources.
    assert len(labels["block7/dense_inputs"]) == sum(math.comb(7, size) for size in range(1, 5))


@given(search_spaces())
def test_a_label_with_one_choice_does_not_exist(space: SearchSpace) -> None:
    assert all(len(set(choices)) == len(choices) > 1 for choices in space.labels.values())


def test_labels_that_nasrecs_spaces_lack() -> None:
    for label in ("block1/dense_inputs", "block1/sparse_inputs", "block1/left", "block1/right"):
        assert label not in FULL.labels
    # No operator of Small reads left and right, and there is one sparse operator.
    for number, key in itertools.product(range(1, 8), ("left", "right", "sparse_op")):
        assert f"block{number}/{key}" not in SMALL.labels


# Parameters.


def test_an_unknown_label_is_named() -> None:
    params = load_architecture("criteo-full").params
    with pytest.raises(ArchitectureError, match="'block8/dense_op' is no label of the space 'nasrec-full'"):
        FULL.from_params({**params, "block8/dense_op": "fc"})


def test_a_missing_label_is_named() -> None:
    params = dict(load_architecture("criteo-full").params)
    del params["block3/fm"]
    with pytest.raises(ArchitectureError, match="the label 'block3/fm' of the space 'nasrec-full' has no value"):
        FULL.from_params(params)


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("block3/dense_op", "efc"),
        ("block3/dense_dim", 17),
        ("block3/dense_dim", "16"),
        ("block3/dense_inputs", "s2+s0"),
        ("block3/dense_inputs", "s3"),
        ("block3/dense_inputs", ["s0"]),
        ("block3/left", 1),
        ("block3/fm", 1),
        ("block3/fm", None),
        ("block3/fm", "true"),
    ],
)
def test_a_value_that_is_no_choice_is_named_with_its_label(label: str, value: object) -> None:
    with pytest.raises(ArchitectureError, match=f"'{label}' is .*, which is none of its choices .*'nasrec-full'"):
        with_choice(load_architecture("criteo-full"), label, value)


def test_a_numpy_boolean_is_a_boolean() -> None:
    found = with_choice(load_architecture("criteo-full"), "block3/fm", np.True_)
    assert found.params["block3/fm"] is True
    with pytest.raises(ArchitectureError, match=r"'block3/fm' is .*1.*, which is none of its choices"):
        with_choice(found, "block3/fm", np.int64(1))


def test_true_is_no_width() -> None:
    space = tiny_space(dense_dims=(1, 2))
    with pytest.raises(ArchitectureError, match="'block1/dense_dim' is True"):
        with_choice(space.random(np.random.default_rng(0)), "block1/dense_dim", True)


def test_architectures_are_validated_against_other_spaces() -> None:
    small, full = load_architecture("criteo-small"), load_architecture("criteo-full")
    within = FULL.validate_architecture(small)
    assert within.space is FULL
    assert within.blocks == small.blocks
    with pytest.raises(ArchitectureError, match="'block1/dense_op' is 'sigmoid_gating'"):
        SMALL.validate_architecture(full)
    with pytest.raises(ArchitectureError, match="has 3 blocks, but the architecture has 7"):
        tiny_space().validate_architecture(full)


def test_sides_that_a_space_does_not_know_are_brought_to_its_only_value() -> None:
    blocks = enumerate(load_architecture("criteo-small").blocks, 1)
    small = Architecture(SMALL, tuple(replace(b, left=number - 1, right=number - 1) for number, b in blocks))
    assert any(b.left for b in small.blocks)
    assert all((b.left, b.right) == (0, 0) for b in SMALL.validate_architecture(small).blocks)


def test_a_copy_has_labels_of_its_own() -> None:
    space = tiny_space()
    assert space.random(np.random.default_rng(0)).blocks
    assert len(space.labels)
    fewer = space.model_copy(update={"blocks": 1})
    assert {label.split("/")[0] for label in fewer.labels} == {"block1"}
    assert len(fewer.random(np.random.default_rng(0)).blocks) == 1
    assert len(space.random(np.random.default_rng(0)).blocks) == 3
    assert space.__dict__.keys() > SearchSpace.model_fields.keys() == space.model_copy().__dict__.keys()


# Drawing.


@given(search_spaces(), st.integers(0, 2**32), st.sampled_from(["binomial", "uniform"]))
def test_random_architectures_are_of_the_space(space: SearchSpace, seed: int, inputs: InputCount) -> None:
    architecture = space.random(np.random.default_rng(seed), inputs=inputs)
    assert_path_of(architecture.path, space)
    assert space.validate_architecture(architecture) == architecture
    assert space.random(np.random.default_rng(seed), inputs=inputs) == architecture


def expected_sizes(sources: int, cap: int, inputs: InputCount) -> list[float]:
    most = min(cap, sources)
    if inputs == "uniform":
        return [1 / most] * most
    return [math.comb(most - 1, size) / 2 ** (most - 1) for size in range(most)]


@pytest.mark.parametrize("inputs", ["binomial", "uniform"])
@pytest.mark.parametrize("number", [2, 3, 5, 7])
def test_the_number_of_inputs_follows_its_distribution(number: int, inputs: InputCount) -> None:
    rng = np.random.default_rng(number)
    drawn = [FULL.random(rng, inputs=inputs).blocks[number - 1] for _ in range(1000)]
    expected = expected_sizes(number, 4, inputs)
    for key in ("dense_inputs", "sparse_inputs"):
        sizes = np.bincount([len(getattr(b, key)) for b in drawn], minlength=len(expected) + 1)[1:]
        assert chisquare(sizes, np.array(expected) * len(drawn)).pvalue > 0.001


@pytest.mark.parametrize("inputs", ["binomial", "uniform"])
def test_sets_of_one_size_are_equally_likely(inputs: InputCount) -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw_inputs(5, 3, rng, inputs) for _ in range(6000))
    for size, share in enumerate(expected_sizes(5, 3, inputs), 1):
        sets = list(itertools.combinations(range(5), size))
        counts = [drawn[subset] for subset in sets]
        assert chisquare(counts, [sum(counts) / len(sets)] * len(sets)).pvalue > 0.001
        assert sum(counts) / 6000 == pytest.approx(share, abs=0.03)


def test_every_other_choice_is_equally_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = [FULL.random(rng).params for _ in range(2000)]
    for key in ("dense_op", "sparse_op", "dense_dim", "sparse_dim", "left", "right", "dense_to_sparse", "fm"):
        choices = FULL.labels[f"block5/{key}"]
        counts = Counter(params[f"block5/{key}"] for params in drawn)
        assert chisquare([counts[choice] for choice in choices]).pvalue > 0.001


# Mutation.

WIRING = ("dense_inputs", "sparse_inputs", "left", "right")
OPERATORS = ("ops", "dense_dim", "sparse_dim", "dense_to_sparse", "fm")


def changed_keys(parent: Architecture, child: Architecture) -> set[str]:
    """The keys of a mutation that differ, the two operators as one, with their blocks."""
    keys = {label for label, value in parent.params.items() if child.params[label] != value}
    return {label.replace("dense_op", "ops").replace("sparse_op", "ops") for label in keys}


@given(spaces_and_architectures(), st.integers(0, 2**32))
def test_one_mutation_changes_at_most_one_key_and_stays_in_the_space(parent: Architecture, seed: int) -> None:
    child = parent.space.mutate(parent, np.random.default_rng(seed))
    assert len(changed_keys(parent, child)) <= 1
    assert parent.space.validate_architecture(child) == child
    assert parent.space.mutate(parent, np.random.default_rng(seed)) == child


@given(spaces_and_architectures(), st.integers(0, 2**32), st.integers(0, 6))
def test_several_mutations_change_at_most_as_many_keys(parent: Architecture, seed: int, times: int) -> None:
    child = parent.space.mutate(parent, np.random.default_rng(seed), times=times)
    assert len(changed_keys(parent, child)) <= times
    assert_path_of(child.path, parent.space)


def test_mutation_picks_block_then_half_then_key_with_equal_chance() -> None:
    rng = np.random.default_rng(0)
    # So wide a space that a draw hardly ever gives the parent's value back.
    space = tiny_space(blocks=3, dense_dims=tuple(range(1, 500)), sparse_dims=tuple(range(1, 500)))
    parent = space.random(rng)
    changes = [changed_keys(parent, space.mutate(parent, rng)) for _ in range(12_000)]
    assert max(map(len, changes)) == 1
    seen = Counter(key for keys in changes for key in keys)
    # Widths always change: 1/3 block, 1/2 half, 1/5 key.
    for label in (f"block{number}/{key}" for number in (2, 3) for key in ("dense_dim", "sparse_dim")):
        assert seen[label] / 12_000 == pytest.approx(1 / 30, rel=0.2)
    # Block 1 has no wiring to choose: all of its mutations are of operators.
    assert seen["block1/dense_dim"] / 12_000 == pytest.approx(1 / 15, rel=0.15)
    # The two operators count as one key, and one of 2 * 4 draws gives both back.
    assert seen["block3/ops"] / 12_000 == pytest.approx(1 / 30 * 7 / 8, rel=0.2)
    # Block 3's three sources: left keeps its value once in three.
    assert seen["block3/left"] / 12_000 == pytest.approx(1 / 24 * 2 / 3, rel=0.2)
    assert {label.split("/")[1] for label in seen} == {*WIRING, *OPERATORS}
    assert {label.split("/")[0] for label in seen} == {"block1", "block2", "block3"}


def test_a_parent_of_another_space_must_be_a_point_of_this_one() -> None:
    rng = np.random.default_rng(0)
    small, full = load_architecture("criteo-small"), load_architecture("criteo-full")
    children = [FULL.mutate(small, rng) for _ in range(20)]
    assert {child.space.name for child in children} == {"nasrec-full"}
    assert all(FULL.validate_architecture(child) == child for child in children)
    with pytest.raises(ArchitectureError, match="'block1/dense_op' is 'sigmoid_gating'"):
        SMALL.mutate(full, rng)
    assert FULL.adopt(full) is full


@pytest.mark.parametrize(
    "changes", [{}, {"dense_ops": ("fc",)}, {"sparse_ops": ("efc",)}, {"fm": (True,), "max_inputs": 1}, {"blocks": 1}]
)
def test_mutation_reaches_every_choice(changes: dict[str, object]) -> None:
    space, rng = tiny_space(**changes), np.random.default_rng(0)
    architecture, seen = space.random(rng), set()
    for _ in range(3000):
        architecture = space.mutate(architecture, rng)
        seen |= set(architecture.params.items())
    assert seen == {(label, choice) for label, choices in space.labels.items() for choice in choices}


def test_mutation_draws_the_number_of_inputs_uniformly() -> None:
    rng = np.random.default_rng(1)
    parent = FULL.random(rng)
    sizes = Counter()
    while sum(sizes.values()) < 600:
        child = FULL.mutate(parent, rng)
        if child.blocks[6].sparse_inputs != parent.blocks[6].sparse_inputs:
            sizes[len(child.blocks[6].sparse_inputs)] += 1
    # One of the 35 sets of four is the parent's, or one of seven singles: no more than a tenth of a size.
    assert all(sizes[size] / 600 == pytest.approx(1 / 4, abs=0.07) for size in (1, 2, 3, 4))


def test_both_operators_of_a_block_can_change_at_once() -> None:
    rng = np.random.default_rng(0)
    parent = FULL.random(rng)
    children = [FULL.mutate(parent, rng) for _ in range(2000)]
    both = [
        c
        for c in children
        for mine, theirs in zip(parent.blocks, c.blocks, strict=True)
        if mine.dense_op != theirs.dense_op and mine.sparse_op != theirs.sparse_op
    ]
    assert both


def test_a_space_without_a_choice_has_one_architecture() -> None:
    space = tiny_space(
        blocks=1,
        dense_ops=("sum",),
        sparse_ops=("efc",),
        dense_dims=(4,),
        sparse_dims=(3,),
        fm=(False,),
        dense_to_sparse=(True,),
    )
    rng = np.random.default_rng(0)
    assert space.cardinality == 1
    assert space.labels == {}
    assert space.mutate(space.random(rng), rng) == space.random(rng) == space.from_params({})


# NNI's form, and sources.


def test_nni_form_is_every_label_as_a_choice() -> None:
    form = tiny_space().to_nni()
    assert list(form) == list(tiny_space().labels)
    assert form["block2/dense_inputs"] == {"_type": "choice", "_value": ["s0", "s1", "s0+s1"]}
    assert form["block2/fm"] == {"_type": "choice", "_value": [False, True]}
    assert json.loads(tiny_space().to_nni_json()) == form


@pytest.mark.parametrize("path", sorted(SPACES.glob("*.yaml")), ids=lambda path: path.stem)
def test_nni_files_are_made_from_the_yaml(path: Path) -> None:
    assert path.with_suffix(".nni.json").read_text() == load_search_space(path).to_nni_json()


@given(st.sets(st.integers(0, 63), min_size=1))
def test_sources_round_trip(sources: set[int]) -> None:
    ascending = tuple(sorted(sources))
    assert split_sources(join_sources(ascending)) == ascending
    assert join_sources((0, 2, 3)) == "s0+s2+s3"


# Files.


def test_a_space_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_space().model_dump(mode="json")))
    assert load_search_space(path) == load_search_space(str(path)) == tiny_space()


def test_an_unknown_space_names_those_there_are() -> None:
    with pytest.raises(
        SpaceError, match=r"no search space 'nasrec-huge': .* nasrec-full, nasrec-plus, nasrec-small, quickstart"
    ):
        load_search_space("nasrec-huge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense_ops": ["fc", "mlp"]}, r"dense_ops: .*unknown operators \['mlp'\]; known are .*'dot_product'"),
        (
            {"sparse_ops": ["fc"]},
            r"sparse_ops: .*unknown operators \['fc'\]; known .*\['efc', 'attention', 'cross', 'projection'\]",
        ),
        ({"dense_dims": [16, 16]}, "dense_dims: .*distinct"),
        ({"dense_dims": []}, "dense_dims"),
        ({"sparse_dims": [0]}, "sparse_dims.0"),
        ({"blocks": "many"}, "blocks"),
        ({"blocks": 0}, "blocks"),
        ({"blocks": 17, "max_inputs": 4}, "max_inputs: .*17 blocks would choose among 3,213 sets of at most 4 inputs"),
        ({"blocks": 12, "max_inputs": 12}, "max_inputs"),
        ({"max_inputs": 0}, "max_inputs"),
        ({"fm": ["maybe"]}, "fm.0"),
        ({"name": "a/b"}, "name"),
        ({"widths": [1]}, "widths: no such field: correct its name, or leave it out"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**tiny_space().model_dump(mode="json"), **change}))
    with pytest.raises(SpaceError, match=rf"mine\.yaml: {message}"):
        load_search_space(path)


@pytest.mark.parametrize("content", [b"a: [", b"", b"- 1", b"just text", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_space_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(SpaceError, match=r"mine\.yaml: "):
        load_search_space(path)


@pytest.mark.parametrize(
    "name", ["criteo-full", "criteo-small", "avazu-full", "avazu-small", "kdd12-full", "kdd12-small"]
)
def test_published_architectures_load_by_name(name: str) -> None:
    architecture = load_architecture(name)
    assert architecture.space == (FULL if name.endswith("full") else SMALL)
    assert len(architecture.blocks) == 7


def test_an_architecture_is_read_from_a_file(tmp_path: Path) -> None:
    architecture = tiny_space().random(np.random.default_rng(0))
    path = tmp_path / "mine.json"
    path.write_text(architecture.to_json())
    assert load_architecture(path, tiny_space()) == architecture
    with pytest.raises(ArchitectureError, match=r"mine\.json: its space 'tiny' does not ship with the package"):
        load_architecture(path)


def test_an_unknown_architecture_names_those_there_are() -> None:
    with pytest.raises(ArchitectureError, match=r"no architecture 'criteo': .* avazu-full, .*kdd12-small"):
        load_architecture("criteo")


def test_a_broken_architecture_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(b"\xff")
    with pytest.raises(ArchitectureError, match=r"mine\.json: "):
        load_architecture(path)
    path.write_text("{}")
    with pytest.raises(ArchitectureError, match=r"mine\.json: an architecture is a JSON object"):
        load_architecture(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"dense_ops": ("fc", "dot_product")},
        {"sparse_ops": ("attention",)},
        {"dense_dim": 110},
        {"sparse_dim": 4},
        {"dense_to_sparse": True},
        {"fm": True},
        *({name: (0, 2)} for name in ("dense_inputs", "sparse_inputs", "left", "right")),
        *({name: ()} for name in ("dense_ops", "sparse_ops", "dense_inputs", "sparse_inputs", "left", "right")),
        *({name: (0, 0)} for name in ("dense_inputs", "sparse_inputs", "left", "right")),
        {"dense_ops": ("fc", "fc")},
        {"sparse_ops": ("efc", "efc")},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_paths_of_other_spaces_are_told_apart(changes: dict[str, Any]) -> None:
    space = tiny_space(dense_ops=("fc", "sum"), sparse_ops=("efc",), dense_to_sparse=(False,), fm=(False,))
    path = full_path(space)
    space.validate_path(path)
    first, second, third = path.blocks
    with pytest.raises(ArchitectureError, match=r"block2 of the path is none of the space 'tiny': "):
        space.validate_path(replace(path, blocks=(first, replace(second, **changes), third)))
    with pytest.raises(ArchitectureError, match="the path has 2 blocks, but the space 'tiny' has 3"):
        space.validate_path(replace(path, blocks=(first, second)))
