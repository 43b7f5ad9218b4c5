"""What the baselines are compared with: a run's network, its best hand design, and runs with other samplers."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from nasrec_automl.config import SamplerName
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.evaluation.scratch import measure_subnet, predict_logits
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.candidates import candidates, choice_parts, retrain_study_name
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final_training import Contender, final_teachers, taught_finally, train_final
from nasrec_automl.pipeline.outcomes import FinalOutcome
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.pipeline.subnets import best_trials, trial_weights, weights_path
from nasrec_automl.pipeline.teachers import TaughtBy, digest_of, teachers
from nasrec_automl.search import Hyper
from tests.benchmarks.baselines.method import Logits

SEARCHED = ("supernet", "search", "retrain")
_SHARED = ("data", "supernet")


def seconds_spent(run: RunFolder) -> float:
    """What supernet, search and retrain of a finished run took together."""
    spent = read_json(run.result)["seconds"]
    return float(sum(spent[stage] for stage in SEARCHED))


def with_sampler(run: RunFolder, sampler: SamplerName, folder: Path) -> RunFolder:
    """The same job, over the same supernet, with another sampler: as many architectures, as many trainings.

    Args:
        run: finished.
        sampler: in place of the job's.
        folder: the run folder of that job; where it is finished, nothing is done.
    """
    search = run.job.search.model_copy(update={"sampler": sampler})
    update = {"name": f"{run.job.name}-{sampler}", "run_folder": folder.resolve(), "search": search}
    other = RunFolder(run.job.model_copy(update=update))
    other.create()
    for stage in _SHARED:
        source, target = (one.data if stage == "data" else one.supernet for one in (run, other))
        if not target.exists():
            target.symlink_to(source.resolve(), target_is_directory=True)
        for kept in run.path.glob(f"*/{stage}.json"):  # its settings, and its seconds
            (other.path / kept.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(kept, other.path / kept.parent.name / kept.name)
    run_job(other)
    return other


def winner(run: RunFolder) -> Contender:
    """The winner of a run."""
    return _contender(run, FinalOutcome.of_ended(run.final).winner)


def best_hand_design(run: RunFolder) -> Contender | None:
    """The hand design that was best on the rows that chose the winner, if there is any."""
    for contender in FinalOutcome.of_ended(run.final).contenders:  # best first
        if contender.name.startswith("hand-"):
            return _contender(run, contender.name)
    return None


def identity(run: RunFolder, contender: Contender) -> str:
    """Of a contender and of who taught it: what `train` does depends on it."""
    trained = weights_path(run, retrain_study_name(run), contender.name, contender.hyper).stem
    return f"{trained}-{digest_of(run, _teachers(run), contender.hyper)}"


def train(run: RunFolder, contender: Contender, seed: int) -> Logits:
    """Train a contender as the final stage does, with another seed."""
    seeded = RunFolder(run.job.model_copy(update={"seed": seed}))
    with TemporaryDirectory() as folder:
        subnet = train_final(seeded, contender, _teachers(run), Path(folder) / contender.name)
    return lambda rows: predict_logits(subnet, rows)


def _teachers(run: RunFolder) -> TaughtBy:
    """Those of the run: all seeds have the same."""
    first = teachers(run)
    return taught_finally(run, first, final_teachers(run, first, run.path / "baselines"))


def _contender(run: RunFolder, name: str) -> Contender:
    study = begun_study(run, "retrain")
    trial = best_trials(study)[name]
    hyper = Hyper.of(trial.params, run.job.retrain.space)
    subnet = load_subnet(trial_weights(run, study, trial))
    metrics = measure_subnet(subnet, PreparedData.open(run.data).part(*choice_parts(run)))
    return Contender(name, candidates(run)[name].architecture, hyper, metrics)
