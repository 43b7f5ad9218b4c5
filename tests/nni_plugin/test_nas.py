import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import NasExperiment, NasExperimentConfig
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import make_evaluator, run_experiment
from nasrec_automl.training.metrics import measure


@pytest.mark.parametrize(
    ("name", "options", "trials"),
    # NNI's TPE sleeps for a second a trial.
    [("RegularizedEvolution", {"population_size": 4, "sample_size": 2}, 8), ("TPE", {}, 3), ("Random", {}, 8)],
)
def test_nnis_strategies_search_the_trained_supernet_in_process(
    tmp_path: Path, name: str, options: dict[str, int], trials: int
) -> None:
    import nni.nas.strategy
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.experiment.config import RawModelFormatConfig, SequentialEngineConfig

    strategy = getattr(nni.nas.strategy, name)(**options)
    oneshot = NasRecOneShot()
    run_experiment(NasRecSpace(tiny_space(), tiny_schema()), make_evaluator(steps=4), oneshot, tmp_path / "supernet")
    supernet = oneshot.supernet.network.supernet.eval()
    dense, ids, label = make_rows(tiny_schema(), 100).batch(slice(0, 100))
    scored: list[str] = []

    @torch.no_grad()
    def evaluate(model: Any) -> None:
        subnet = model.network.eval()
        assert isinstance(subnet, Subnet)
        architecture = subnet.architecture
        logits = subnet(dense, ids)
        torch.testing.assert_close(logits, supernet(dense, ids, architecture), rtol=1e-5, atol=1e-5)
        scored.append(architecture.key)
        nni.report_final_result(-measure(logits, label).log_loss)  # NNI maximises

    evaluator = FunctionalEvaluator(evaluate)
    config = NasExperimentConfig(
        execution_engine=SequentialEngineConfig(), model_format=RawModelFormatConfig(), max_trial_number=trials
    )
    config.experiment_working_directory = tmp_path / "search"
    experiment = NasExperiment(oneshot.supernet, evaluator, strategy, config)
    experiment.run()
    experiment.stop()
    assert len(scored) == trials
    assert len(set(scored)) > trials / 4  # NNI's evolution draws without a seed, and may draw one twice
    space = tiny_space()
    best = experiment.export_top_models(formatter="dict")[0]
    assert space.from_params({label: best[label] for label in space.labels}).key in scored


def test_importing_it_says_nothing_and_leaves_nnis_own_one_shot_strategies_whole() -> None:
    # Imported after `nni.nas.oneshot`, `nni.nas.strategy` would hold stand-ins that fail when they are used.
    code = "import nasrec_automl.nni_plugin, nni.nas.strategy; print(type(nni.nas.strategy.RandomOneShot()).__name__)"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("RandomOneShot\n", "")
