"""`python -m tests.benchmarks.profiled`: where the time of steps and scores goes, operator by operator."""

import torch
from torch.profiler import ProfilerActivity, profile

from nasrec_automl import load_search_space
from tests.benchmarks import criteo
from tests.benchmarks.measure import THREADS

_STEPS, _SCORES, _TABLE_ROWS, _SHOWN = 24, 8, 10_000, 15


def main() -> None:
    torch.set_num_threads(THREADS)
    for name in ("nasrec-full", "nasrec-small"):
        supernet = criteo.supernet(name, _TABLE_ROWS)
        paths = [a.path for a in criteo.architectures(load_search_space(name), _STEPS)]
        training, batch = criteo.training(supernet), criteo.batch(512, _TABLE_ROWS)
        rows = criteo.batch(8192, _TABLE_ROWS)
        training.step(batch, paths[0])  # compiles what is compiled
        with profile(activities=[ProfilerActivity.CPU]) as steps:
            for path in paths:
                training.step(batch, path)
        _print(f"{name}: {_STEPS} steps of 512", steps)
        supernet.eval()
        with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as scores:
            for path in paths[:_SCORES]:
                supernet(rows.dense, rows.ids, path)
        _print(f"{name}: {_SCORES} scores of 8192", scores)


def _print(title: str, found: profile) -> None:
    operators = found.key_averages()
    total = sum(operator.self_cpu_time_total for operator in operators)
    print(f"{title}, {total / 1e3:,.0f} ms")
    for operator in sorted(operators, key=lambda operator: -operator.self_cpu_time_total)[:_SHOWN]:
        print(f"  {operator.self_cpu_time_total / total:6.1%}  {operator.count:6,}  {operator.key}")


if __name__ == "__main__":
    main()
