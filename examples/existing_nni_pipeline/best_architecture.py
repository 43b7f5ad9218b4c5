"""Write the architecture of an NNI experiment's best trial, for `nasrec-automl retrain` to train into a model."""

import argparse
import json
import math
from pathlib import Path

from nasrec_automl import load_search_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=Path, help="what `nnictl experiment export --type json` wrote")
    parser.add_argument("space", help="name or file of the run's space, such as quickstart")
    parser.add_argument("output", type=Path, help="file to write, such as best.json")
    asked = parser.parse_args()
    space = load_search_space(asked.space)
    # NNI's Hyperband, BOHB and PBT add parameters that are no labels of the space.
    found = {
        log_loss(trial["value"]): {label: trial["parameter"][label] for label in space.labels}
        for trial in json.loads(asked.trials.read_text())
    }
    best = min((value for value in found if math.isfinite(value)), default=None)
    if best is None:
        parser.error(f"{asked.trials}: no trial with a result")
    asked.output.write_text(space.from_params(found[best]).to_json())
    print(f"{asked.output}: log loss {best:.5f}, the best of {len(found)}")


def log_loss(value: str) -> float:
    """NNI keeps a metric as JSON text: the number, or a dict in which `default` is the one that counts."""
    metric = json.loads(value)
    return float(metric["default"] if isinstance(metric, dict) else metric)


if __name__ == "__main__":
    main()
