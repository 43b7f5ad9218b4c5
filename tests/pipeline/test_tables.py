import io

from rich.console import Console

from nasrec_automl.pipeline.tables import plain_table


def test_a_table_has_its_title_on_the_left_and_no_borders() -> None:
    table = plain_table("results")
    for column in ("model", "log loss"):
        table.add_column(column)
    table.add_row("hand-mlp", "0.5472")
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(table)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines[0] == "results"
    assert "hand-mlp 0.5472" in [" ".join(line.split()) for line in lines]
    assert not any("|" in line or "│" in line for line in lines)
