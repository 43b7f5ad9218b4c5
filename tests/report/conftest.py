"""Contents to report on: an empty one, and one that looks like a real run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl import FeatureSchema, load_search_space, profile
from nasrec_automl.report import (
    CurvePoint,
    ReportContent,
    ResultRow,
    RetrainTrial,
    ScoredArchitecture,
    calibration_bins,
)
from nasrec_automl.search import Hyper

HYPER = Hyper(
    optimizer="adagrad",
    learning_rate=0.1,
    weight_decay=0.0,
    embedding_decay=None,
    dropout=0.0,
    batch_size=256,
    embedding_dim=16,
    table_cap=None,
    layer_norm=True,
)
"""Of trainings whose hyper-parameters do not matter."""

SCHEMA = FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26)
HANDS = ("mlp", "dlrm-like", "deepfm-like")


@pytest.fixture(name="empty_content")
def _empty_content():
    return empty_content


@pytest.fixture(name="full_content")
def _full_content():
    return full_content


@pytest.fixture(name="unscored_content")
def _unscored_content():
    return unscored_content


def empty_content(**changes) -> ReportContent:
    winner = load_search_space("nasrec-full").random(np.random.default_rng(0))
    return ReportContent(**{"title": "run", "dataset": "data", "winner": winner, "winner_name": winner.key} | changes)


def full_content(*, seed: int = 0, architectures: int = 300, **changes) -> ReportContent:
    rng = np.random.default_rng(seed)
    space = load_search_space("nasrec-full")
    drawn = [space.random(rng) for _ in range(architectures)]
    search = [_scored(number, architecture, rng) for number, architecture in enumerate(drawn)]
    best = sorted(search, key=lambda scored: scored.log_loss)[:3]
    winner = drawn[best[0].number]
    labels = rng.random(20_000) < (predicted := rng.beta(2, 5, 20_000))
    content = {
        "title": "quickstart",
        "dataset": "MovieLens-100k",
        "winner": winner,
        "winner_name": winner.key,
        "facts": {
            "rows": "train 80,000, search 4,000, retrain 3,000, choice 3,000, test 10,000",
            "table sizes": "user 944, item 1,683, age 8, gender 3, occupation 22, zip 796",
            "seed": "0",
            "seconds by stage": "supernet 212, search 148, retrain 96, final 21",
        },
        "supernet": [
            CurvePoint(
                step=step,
                log_loss=0.53 + 0.16 * np.exp(-step / 1500) + rng.normal(0, 0.001),
                auc=0.79 - 0.25 * np.exp(-step / 1500) + rng.normal(0, 0.001),
                train_loss=0.51 + 0.18 * np.exp(-step / 1500) + rng.normal(0, 0.004),
            )
            for step in range(250, 8001, 250)
        ],
        "search": search,
        "score_rows": 4000,
        "retrain": [_retrained(number, [*HANDS, *(b.key for b in best)], rng) for number in range(24)],
        "results": [
            _row(winner.key, "search", 0.5391, 0.7871, 0.5412, 0.7853, winner, wins=True),
            _row(best[1].key, "search", 0.5396, 0.7866, None, None, drawn[best[1].number]),
            _row(best[2].key, "search", 0.5402, 0.7859, None, None, drawn[best[2].number]),
            *(_row(hand, "hand design", 0.5412 + i / 900, 0.7843 - i / 700) for i, hand in enumerate(HANDS)),
            replace(
                _row("logistic regression", "baseline", 0.5571, 0.7665, 0.5583, 0.7651),
                test_less_winner_error={"log_loss": 0.0012, "auc": 0.0024},
            ),
        ],
        "calibration": calibration_bins(labels, predicted),
        "how_to_go_on": [
            "optuna-dashboard sqlite:///runs/quickstart/studies.db",
            "nasrec-automl predict --model runs/quickstart/best --input clicks.csv --output predictions.csv",
        ],
    }
    return ReportContent(**content | changes)


def unscored_content(**changes) -> ReportContent:
    """Of a run whose scores are not trusted: of its candidates the search scored the hand designs alone."""
    space, rng = load_search_space("nasrec-full"), np.random.default_rng(1)
    winner, checked, third = (space.random(rng) for _ in range(3))
    others = {winner.key: winner, checked.key: checked, third.key: third}
    content = {
        "winner": winner,
        "winner_name": winner.key,
        "chosen_on": ("search", "choice"),
        "retrain": [_retrained(number, [*HANDS, *others], rng) for number in range(24)],
        "results": [
            _row(winner.key, "predictor", 0.5391, 0.7871, 0.5412, 0.7853, winner, wins=True),
            _row(checked.key, "check", 0.5396, 0.7866, None, None, checked),
            _row(third.key, "predictor", 0.5402, 0.7859, None, None, third),
            *(_row(hand, "hand design", 0.5412 + i / 900, 0.7843 - i / 700) for i, hand in enumerate(HANDS)),
            _row("logistic regression", "baseline", 0.5571, 0.7665, 0.5583, 0.7651),
        ],
    }
    return full_content(**content | changes)


def _scored(number, architecture, rng) -> ScoredArchitecture:
    cost = profile(architecture, SCHEMA)
    loss = 0.545 + 0.02 * np.exp(-number / 90) + 0.012 * rng.gamma(2, 0.4) - 0.003 * np.log10(cost.macs / 1e6)
    if number == 57:
        loss = 0.693
    return ScoredArchitecture(
        number=number,
        key=architecture.key,
        log_loss=loss,
        standard_error=0.0031 + rng.normal(0, 0.0001),
        auc=1.33 - loss,
        macs=cost.macs,
        parameters=cost.parameters,
        hand=HANDS[number] if number < len(HANDS) else None,
        architecture=architecture,
    )


def _retrained(number, names, rng) -> RetrainTrial:
    rate = 10 ** rng.uniform(-3.5, -1)
    level = 0.541 + 0.006 * (np.log10(rate) + 2.2) ** 2 + 0.001 * (number % 6) + rng.normal(0, 0.001)
    state = ("complete", "complete", "pruned")[rng.integers(3)] if number else "failed"
    steps = range(200, 2001 if state == "complete" else 801, 200)
    curve = [(step, level + 0.1 * np.exp(-step / 300)) for step in steps] if state != "failed" else []
    return RetrainTrial(
        number=number,
        architecture=names[number % len(names)],
        log_loss=curve[-1][1] if curve else None,
        state=state,
        hyper=Hyper(
            learning_rate=rate,
            weight_decay=0.0 if rng.random() < 0.3 else 10 ** rng.uniform(-7, -4),
            embedding_decay=10 ** rng.uniform(-6, -3),
            dropout=float(rng.choice([0.0, 0.1, 0.2, 0.3])),
            batch_size=int(rng.choice([256, 512, 1024])),
            optimizer=str(rng.choice(["adagrad", "adam", "sgd"])),
            embedding_dim=int(rng.choice([8, 16])),
            table_cap=None if rng.random() < 0.5 else 1000,
            layer_norm=True,
        ),
        curve=curve,
    )


def _row(name, kind, log_loss, auc, test_log_loss=None, test_auc=None, architecture=None, wins=False) -> ResultRow:
    cost = profile(architecture, SCHEMA) if architecture else None
    return ResultRow(
        name=name,
        kind=kind,
        log_loss=log_loss,
        auc=auc,
        wins=wins,
        test_log_loss=test_log_loss,
        test_auc=test_auc,
        macs=cost.macs if cost else None,
        parameters=cost.parameters if cost else None,
    )
