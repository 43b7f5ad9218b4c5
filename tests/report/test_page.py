from pathlib import Path

import pytest

from nasrec_automl.report.page import bullets, figure_html, page, write_page
from nasrec_automl.report.style import note
from tests.report.test_html import Page


def test_titles_and_lists_are_escaped() -> None:
    parsed = Page(page("<b>", [bullets(["<i>"])]))
    assert not [tag for tag, _ in parsed.tags if tag in ("b", "i")]
    assert "<i>" in parsed.text


def test_a_note_is_a_paragraph() -> None:
    assert figure_html("x", note("nothing & more"), "caption") == '<p class="note">nothing &amp; more</p>'


def test_a_page_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("old")
    assert write_page("neu: ä", tmp_path / "a.html").read_text(encoding="utf-8") == "neu: ä"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_page("new", tmp_path / "a.html")
    assert list(tmp_path.rglob("*")) == [tmp_path / "a.html"]
