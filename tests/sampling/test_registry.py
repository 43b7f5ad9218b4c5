import pytest

from nasrec_automl.config_training import SupernetConfig
from nasrec_automl.errors import JobError
from nasrec_automl.sampling import PATH_SAMPLERS, path_sampler
from nasrec_automl.testing.examples import tiny_space


@pytest.mark.parametrize("name", PATH_SAMPLERS)
def test_samplers_are_found_by_name(name: str) -> None:
    sampler = path_sampler(name, tiny_space())
    assert type(sampler) is PATH_SAMPLERS[name]
    assert sampler.space == tiny_space()


def test_the_job_file_knows_the_same_names() -> None:
    for name in PATH_SAMPLERS:
        assert SupernetConfig(sampling=name).sampling == name
    schema = SupernetConfig.model_json_schema()
    assert schema["properties"]["sampling"]["enum"] == list(PATH_SAMPLERS)


def test_an_unknown_name_names_what_there_is() -> None:
    with pytest.raises(JobError, match="no path sampler 'all'; there are single-operator, single-path"):
        path_sampler("all", tiny_space())
