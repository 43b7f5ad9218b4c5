"""Read a run's search with pandas. Needs Optuna and pandas alone: nasrec_automl need not be installed."""

import argparse

import optuna


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage", help="database, such as sqlite:///runs/quickstart/studies.db")
    parser.add_argument("study", help="name, such as quickstart-search")
    asked = parser.parse_args()
    study = optuna.load_study(study_name=asked.study, storage=asked.storage)
    frame = study.trials_dataframe(attrs=("number", "value", "params", "user_attrs", "state"))
    done = frame[frame["state"] == "COMPLETE"].sort_values("value")
    costs = ["user_attrs_nasrec:auc", "user_attrs_nasrec:macs", "user_attrs_nasrec:parameters"]
    print(done[["number", "value", *costs]].head(10).to_string(index=False))
    best = done.head(max(1, len(done) // 10))
    operators = [name for name in frame.columns if name.endswith("_op")]
    print("\nOperators of the best tenth, beside those of all:")
    for name in operators:
        label = name.removeprefix("params_")
        common, share = best[name].mode().iat[0], best[name].value_counts(normalize=True).iat[0]
        overall = (done[name] == common).mean()
        print(f"{label:24} {common:16} {share:5.0%} {overall:5.0%}")


if __name__ == "__main__":
    main()
