from pathlib import Path

from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.report.data_content import RejectedReason, gather
from nasrec_automl.report.data_report import render_data_report
from tests.report.data_contents import data_content, field, period
from tests.report.test_html import EVIL, Page

HEADINGS = (
    "What to look at",
    "Parts",
    "Categorical fields",
    "Memory of the tables",
    "Top values",
    "Number columns",
    "How it was prepared",
)


def figures(page: Page) -> list[str | None]:
    return [attrs["id"] for _, attrs in page.tags if attrs.get("class") == "plotly-graph-div"]


def test_every_part_is_there_and_nothing_is_loaded() -> None:
    html = render_data_report(data_content(periods=(period(),)))
    page = Page(html)
    assert all(heading in page.text for heading in HEADINGS)
    assert figures(page) == ["positive-rate", "sizes"]
    assert not [attrs for _, attrs in page.tags if {"src", "href", "srcset"} & set(attrs)]
    assert "default-src 'none'" in html


def test_what_is_not_known_is_said_or_left_out() -> None:
    page = Page(render_data_report(data_content(dense=())))
    assert figures(page) == ["sizes"]
    assert "time of the rows is not known" in page.text
    assert "Number columns" not in page.text
    assert "Rejected rows" not in page.text


def test_what_weights_do_to_errors_is_said() -> None:
    assert "unequal weights make them larger" in Page(render_data_report(data_content(weight=2.0))).text
    assert "unequal weights" not in Page(render_data_report(data_content())).text


def test_strings_of_the_data_are_escaped() -> None:
    plain = Page(render_data_report(data_content()))
    rejected = (RejectedReason(reason=EVIL, rows=1, first=EVIL, text=EVIL),)
    fields = (field(EVIL, top=((EVIL, 0.5),)), field("user"))
    evil = Page(
        render_data_report(data_content(name=EVIL, label=EVIL, notes={EVIL: EVIL}, fields=fields, rejected=rejected))
    )
    assert [tag for tag, _ in evil.tags].count("script") == [tag for tag, _ in plain.tags].count("script")
    assert not [attrs for _, attrs in evil.tags if "onerror" in attrs]
    assert not [tag for tag, _ in evil.tags if tag == "img"]


def test_a_prepared_folder_has_a_page(tmp_path: Path) -> None:
    content = gather(prepare(make_synthetic(3000, 0), tmp_path / "p", split="time"))
    page = Page(render_data_report(content))
    assert "3,000 rows" in page.text
    assert "oracle_log_loss" in page.text
    assert figures(page) == ["positive-rate", "sizes"]
    assert render_data_report(content) == render_data_report(content)


def test_one_of_a_thing_is_no_plural() -> None:
    facts = render_data_report(data_content(earlier=("a",)))
    assert '<th scope="row">appended</th><td>1 time</td>' in facts
    assert "<td>1 number (float32) and 2 ids (" in facts
