"""Our studies in a process that does not have this package: plain Optuna and pandas."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nasrec_automl.search import RegularizedEvolutionSampler, open_storage, open_study, search
from nasrec_automl.space import SearchSpace
from tests.search.search_worker import score

READ = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "nasrec_automl":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
try:
    import nasrec_automl
except ModuleNotFoundError:
    pass
else:
    sys.exit("it was to be blocked")

import optuna

study = optuna.load_study(study_name="search", storage=sys.argv[1])
frame = study.trials_dataframe()
print(json.dumps({
    "columns": list(frame.columns),
    "values": frame["value"].tolist(),
    "keys": frame["user_attrs_nasrec:key"].tolist(),
    "auc": frame["user_attrs_nasrec:auc"].tolist(),
    "dims": [int(dim) for dim in frame["params_block1/dense_dim"]],
    "best": [study.best_trial.number, study.best_value, study.best_params],
    "attrs": study.user_attrs,
    "asked": study.ask({name: d for name, d in study.best_trial.distributions.items()}).params,
}))
"""


@pytest.mark.parametrize(
    "fixture",
    ["url", pytest.param("postgres_url", marks=pytest.mark.slow), pytest.param("mariadb_url", marks=pytest.mark.mysql)],
)
def test_read_with_optuna_and_pandas_alone(request: pytest.FixtureRequest, fixture: str, space: SearchSpace) -> None:
    url = str(request.getfixturevalue(fixture))
    storage = open_storage(url)
    study = open_study(storage, name="search", identity={"space": space.name})
    sampler = RegularizedEvolutionSampler(space=space, population_size=4, tournament_size=2, children=2)
    search(study, space, score, storage=storage, sampler=sampler, target=6)
    done = subprocess.run([sys.executable, "-I", "-c", READ, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    trials = study.get_trials()[:6]
    assert read["values"] == [trial.value for trial in trials]
    assert read["keys"] == [trial.user_attrs["nasrec:key"] for trial in trials]
    assert read["auc"] == [0.5] * 6
    assert read["dims"] == [trial.params["block1/dense_dim"] for trial in trials]
    assert read["best"] == [study.best_trial.number, study.best_value, study.best_params]
    assert read["attrs"] == {"nasrec:schema_version": 1, "nasrec:space": space.name}
    assert {"state", "datetime_start", "datetime_complete", "user_attrs_nasrec:worker"} <= set(read["columns"])
    # It may also go on there: what it asks for is an architecture of the space.
    assert space.from_params(read["asked"])
