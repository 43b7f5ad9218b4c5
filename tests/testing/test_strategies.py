from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.architecture import Architecture
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.strategies import architectures, neighbours, with_other_dead_parts


def changes(one: Architecture, other: Architecture) -> set[str]:
    return {label for label, value in one.params.items() if other.params[label] != value}


@given(architectures(tiny_space()).flatmap(lambda a: st.tuples(st.just(a), neighbours(a))))
def test_neighbours_differ_in_one_label_at_most(pair: tuple[Architecture, Architecture]) -> None:
    assert len(changes(*pair)) <= 1


def test_other_dead_parts_are_other_choices_of_every_kind_and_the_same_key() -> None:
    changed: set[str] = set()

    @settings(max_examples=200)
    @given(architectures(tiny_space()).flatmap(lambda a: st.tuples(st.just(a), with_other_dead_parts(a))))
    def collect(pair: tuple[Architecture, Architecture]) -> None:
        assert pair[0].key == pair[1].key
        changed.update(label.split("/")[1] for label in changes(*pair))

    collect()
    assert changed == {label.split("/")[1] for label in tiny_space().labels}
