from nasrec_automl.report.page import bullets, figure_html, page
from nasrec_automl.report.style import note
from tests.report.test_html import Page


def test_titles_and_lists_are_escaped() -> None:
    parsed = Page(page("<b>", [bullets(["<i>"])]))
    assert not [tag for tag, _ in parsed.tags if tag in ("b", "i")]
    assert "<i>" in parsed.text


def test_a_note_is_a_paragraph() -> None:
    assert figure_html("x", note("nothing & more"), "caption") == '<p class="note">nothing &amp; more</p>'
