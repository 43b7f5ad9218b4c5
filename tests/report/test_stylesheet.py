"""What pages are made of, and what the stylesheet says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.report import ReportContent
from nasrec_automl.report.data_content import gather
from nasrec_automl.report.data_report import render_data_report
from nasrec_automl.report.html import render_report
from nasrec_automl.report.page import page
from nasrec_automl.report.rank_page import render_rank
from nasrec_automl.report.stylesheet import STYLESHEET
from tests.report.test_rank_page import content as rank_content

PLOTLYS = {"plotly-graph-div", "modebar"}


def used(html: str) -> set[str]:
    """Classes of a page's elements."""
    elements = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    values = re.findall(r"""<[^>]*\bclass=(["'])(.*?)\1""", elements)
    return {name for _, value in values for name in value.split()}


def test_pages_have_the_classes_that_have_a_rule_and_no_others(
    full_content: Callable[..., ReportContent], tmp_path: Path
) -> None:
    data = gather(prepare(make_synthetic(500, 0), tmp_path / "p"))
    pages = [render_report(full_content()), render_data_report(data), render_rank(rank_content())]
    classes = set[str]().union(*map(used, pages))
    selectors = re.findall(r"([^{}]*)\{", STYLESHEET)
    assert classes - PLOTLYS == set(re.findall(r"\.([a-z][\w-]*)", " ".join(selectors))) - PLOTLYS


def test_figures_are_printed_as_wide_as_the_page() -> None:
    (width,) = re.findall(r"@media print \{ body \{[^}]*[^-]width: (\d+)px", STYLESHEET)
    assert re.findall(r'"beforeprint", \(\) => resize\((\d+)\)', page("", [])) == [width]
