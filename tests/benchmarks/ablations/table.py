"""The table of a call, from what it wrote."""

from typing import Any

from rich.table import Table


def table_of(result: dict[str, Any]) -> Table:
    supernets = "a supernet" if result["seeds"] == 1 else f"{result['seeds']} supernets"
    title = f"{result['dataset']}: {result['architectures']} architectures, {result['truth_seeds']} trainings of each"
    table = Table(title=f"{title}, {supernets} a variant\n{result['machine']}", title_justify="left")
    for column in ("group", "variant", "tau", "less ours", "rho", "log loss", "seconds"):
        table.add_column(column, justify="left" if column in ("group", "variant") else "right")
    for row in result["variants"]:
        if "tau" not in row:
            table.add_row(row["group"], row["variant"], "diverged")
            continue
        less = row.get("less_ours")
        table.add_row(
            row["group"],
            row["variant"],
            _shown(row["tau"], row["tau_deviation"], ""),
            _shown(less, row["less_ours_deviation"], "+") if less else "",
            _number(row["spearman"]),
            f"{row['log_loss']:.4f}",
            f"{row['seconds']:,.0f}",
        )
    return table


def _shown(estimate: dict[str, float | None], deviation: float | None, sign: str) -> str:
    between = "" if deviation is None else f" ± {deviation:.2f}"
    value, low, high = (_number(estimate[name], sign) for name in ("value", "low", "high"))
    return f"{value}{between} ({low}, {high})"


def _number(value: float | None, sign: str = "") -> str:
    return "none" if value is None else f"{value:{sign}.2f}"
