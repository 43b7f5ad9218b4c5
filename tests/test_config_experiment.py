from pathlib import Path

import pytest
from pydantic import ValidationError

from nasrec_automl.config_experiment import ExperimentConfig, MachineConfig


def test_machines_are_told_where_the_manager_is() -> None:
    machine = MachineConfig(host="node", user="me", ssh_key_file=Path("key"))
    assert ExperimentConfig(machines=(machine,), nni_manager_ip="10.0.0.1").machines == (machine,)
    with pytest.raises(ValidationError, match="machines need nni_manager_ip"):
        ExperimentConfig(machines=(machine,))
