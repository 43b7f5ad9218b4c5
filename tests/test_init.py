import subprocess
import sys

import pytest

import nasrec_automl


def test_names_are_loaded_on_use() -> None:
    from nasrec_automl.schema import FeatureSchema
    from nasrec_automl.space import load_search_space

    assert nasrec_automl.FeatureSchema is FeatureSchema
    assert nasrec_automl.load_search_space is load_search_space


def test_every_public_name_exists() -> None:
    for name in nasrec_automl.__all__:
        assert getattr(nasrec_automl, name) is not None
        assert name in dir(nasrec_automl)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nasrec_automl' has no attribute 'nothing'"):
        _ = nasrec_automl.nothing


def test_importing_is_light() -> None:
    code = (
        "import sys, nasrec_automl; "
        "heavy = {'torch', 'nni', 'optuna', 'pandas', 'numpy', 'pytorch_lightning', 'pydantic', 'plotly'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_spaces_and_costs_need_no_torch() -> None:
    code = (
        "import sys\n"
        "from nasrec_automl import FeatureSchema, load_architecture, profile\n"
        "import nasrec_automl.published, nasrec_automl.hand_designs, nasrec_automl.config\n"
        "schema = FeatureSchema.from_sizes(dense=1, table_sizes=[3])\n"
        "assert profile(load_architecture('criteo-full'), schema).macs\n"
        "print(sorted({'torch', 'nni', 'optuna', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
