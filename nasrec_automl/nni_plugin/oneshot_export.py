"""The search that finds the best architectures of a trained supernet, for `export_top_models`."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any

from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from pytorch_lightning.utilities import CombinedLoader
from torch import nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.config import RidgeHead
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, SpaceError
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.network import Supernet
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.randomness import rng_for
from nasrec_automl.score import Score
from nasrec_automl.search import RegularizedEvolutionSampler, open_study, search
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.incumbents import distinct_best_first
from nasrec_automl.search.mutation import generations_of
from nasrec_automl.training.metrics import measure, targets

_ROWS = 100_000
"""Validation rows that are read at most, half of them to fit heads."""


_CHILDREN = 4


def best_architectures(
    supernet: Supernet,
    loaders: Any,
    *,
    most: int,
    scored: int,
    seed: int,
    budget: Budget | None = None,
    around: nn.Module | None = None,
) -> dict[Architecture, float]:
    """Search the supernet for a short while, by regularised evolution over its weight-sharing evaluator.

    Args:
        supernet: the trained supernet.
        loaders: loaders of validation batches (dense, ids, label[, weight]), on which the supernet was not trained: one
            loader, or another form that Lightning takes, such as a list. A random half of the rows fits each
            architecture's head, the other half scores it.
        most: number of architectures, no two with one key; fewer if the space has no more.
        scored: number of architectures that the search scores, at least `most`.
        seed: seed of the search.
        budget: what an architecture may cost.
        around: the trained model, if it does more than run the supernet that it holds: see `WholeModelEvaluator`.

    Returns:
        The architectures with their log loss, the best first. Equal weights, rows and seeds give equal lists.

    Raises:
        DataError: there are no validation rows.
        StudyError: hardly any score is a finite number. A single architecture without a finite score is left out.
        BudgetError: no architecture inside the budget was found.
    """
    space = supernet.space
    head_rows, score_rows = _halves(_read(loaders), seed)
    trained: nn.Module = supernet if around is None else around
    was_training = trained.training
    evaluator: WeightSharingEvaluator | WholeModelEvaluator
    if around is None:
        evaluator = WeightSharingEvaluator(
            supernet, head_rows=head_rows, score_rows=score_rows, head=RidgeHead(), seed=seed, early_stop=0
        )
    else:
        evaluator = WholeModelEvaluator(around, score_rows)
    storage = InMemoryStorage()
    study = open_study(storage, name="export", identity={"space": space.name})
    target = max(most, scored)
    population = max(1, target // 2)  # the first half is random
    sampler = RegularizedEvolutionSampler(
        space=space,
        budget=budget,
        population_size=population,
        tournament_size=max(1, population // 4),
        children=_CHILDREN,
        generations=generations_of(target, population, _CHILDREN),
        seed=seed,
    )
    try:
        search(study, space, evaluator.evaluate, storage=storage, sampler=sampler, target=target, budget=budget)
    finally:
        trained.train(was_training)
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    log_loss = {trial.user_attrs[KEY]: trial.values[0] for trial in trials}
    return {found: log_loss[found.key] for found in islice(distinct_best_first(trials, space), most)}


class WholeModelEvaluator:
    """Scores architectures by the logits of the whole trained model, which holds the supernet.

    No head is fitted: that needs a supernet whose logits are the model's.

    Args:
        model: maps `(dense, ids)` to logits `(B,)`. It is put into evaluation mode, and left there.
        score_rows: rows to score.

    Raises:
        SpaceError: the model returns something else.
    """

    def __init__(self, model: nn.Module, score_rows: Rows) -> None:
        self._model = model.eval()
        self._shared = next(module for module in model.modules() if isinstance(module, SharedNetwork))
        self._score_rows = score_rows

    def evaluate(self, architecture: Architecture) -> Score:
        """Score one architecture of the supernet's space."""
        self._shared.path = architecture.path
        logits = predict_logits(self._model, self._score_rows)
        if logits.shape != (len(self._score_rows),):
            raise SpaceError(
                f"export_top_models scores the whole {type(self._model).__name__}, whose forward(dense, ids) should "
                f"return one logit a row, but it returned {tuple(logits.shape)} for {len(self._score_rows)} rows"
            )
        found = measure(logits, *targets(self._score_rows))
        return Score(
            log_loss=found.log_loss, auc=found.auc, standard_error=found.standard_error, rows=found.rows, stopped=False
        )


def _read(loaders: Any) -> Rows:
    parts: list[Rows] = []
    read = 0
    for batch in chain.from_iterable(CombinedLoader(() if loaders is None else loaders).flattened):
        parts.append(Rows(*(tensor.cpu().numpy() for tensor in batch[:4])))
        read += len(parts[-1])
        if read >= _ROWS:
            break
    if read < 2:
        raise DataError(
            f"export_top_models scores architectures on validation rows, but the evaluator's val_dataloaders gave "
            f"{read}: expected at least 2, in batches of (dense, ids, label); rows by the thousand make scores certain"
        )
    return Rows.concatenate(parts)


def _halves(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    order = rng_for("halves for heads and scores", seed).permutation(len(rows))
    half = len(rows) // 2
    return rows.take(order[:half]), rows.take(order[half:])
