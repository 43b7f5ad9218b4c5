import pytest
from pydantic import ValidationError

from nasrec_automl.config_ranking import RankConfig, VerdictConfig


@pytest.mark.parametrize("architectures", [0, 3, 8])
def test_a_verdict_has_an_order_to_judge_or_none(architectures: int) -> None:
    assert VerdictConfig(architectures=architectures).architectures == architectures


@pytest.mark.parametrize("architectures", [1, 2])
def test_one_or_two_architectures_have_no_order(architectures: int) -> None:
    with pytest.raises(ValidationError, match="must be 0 or at least 3"):
        VerdictConfig(architectures=architectures)
    with pytest.raises(ValidationError):
        RankConfig(architectures=architectures)
