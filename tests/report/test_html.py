import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from nasrec_automl.report import render_report, search_figures

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


class Page(HTMLParser):
    """Tags with attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._raw = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._raw = False

    def handle_data(self, data):
        self.text += "" if self._raw else data


@pytest.fixture(scope="module")
def full():
    return {}


@pytest.fixture
def page(full, full_content):
    if not full:
        full["html"] = render_report(full_content())
        full["page"] = Page(full["html"])
    return full["page"]


def test_every_part_is_there(page, full):
    assert "<h1>quickstart</h1>" in full["html"]
    for heading in (
        "Results",
        "How far to trust this",
        "The winning architecture",
        "Architecture search",
        "Training from scratch",
        "Calibration",
        "The supernet",
        "What was run",
        "How to go on",
    ):
        assert heading in page.text
    ids = [attrs["id"] for tag, attrs in page.tags if attrs.get("class") == "plotly-graph-div"]
    assert ids == [
        "search-history",
        "score-against-macs",
        "frequencies",
        "retrain-settings",
        "retrain-curves",
        "score-against-retrained",
        "calibration",
        "supernet-curves",
    ]


def test_the_page_loads_nothing(page, full):
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object", "embed", "audio", "video")]
    assert not [attrs for _, attrs in page.tags if {"src", "srcset", "data", "poster"} & set(attrs)]
    assert not [attrs for _, attrs in page.tags if not attrs.get("href", "#").startswith("#")]
    styles = "".join(re.findall(r"<style>.*?</style>", full["html"], re.DOTALL))
    assert "@import" not in styles
    assert "url(" not in styles
    [policy] = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_users_strings_are_escaped(full_content):
    plain = full_content(architectures=5)
    evil = full_content(
        architectures=5,
        title=EVIL,
        dataset=EVIL,
        winner_name=EVIL,
        facts={EVIL: EVIL},
        how_to_go_on=[EVIL],
        search=[replace(each, hand=EVIL) for each in plain.search],
        retrain=[
            replace(each, architecture=EVIL, state=EVIL if each.state == "failed" else each.state)
            for each in plain.retrain
        ],
        results=[replace(each, name=EVIL) for each in plain.results],
    )
    page = Page(render_report(evil))
    tags, expected = [tag for tag, _ in page.tags], [tag for tag, _ in Page(render_report(plain)).tags]
    assert set(tags) == set(expected)
    assert tags.count("script") == expected.count("script")
    assert page.text.count("alert(1)") >= 6
    assert not [attrs for _, attrs in page.tags if "onerror" in attrs]


def test_an_empty_content_gives_a_page_of_notes(empty_content):
    page = Page(render_report(empty_content()))
    assert not [attrs for _, attrs in page.tags if attrs.get("class") == "plotly-graph-div"]
    for text in (
        "scored no architecture",
        "no validation results",
        "left no curves",
        "has not been measured yet",
    ):
        assert text in page.text


def test_a_page_draws_each_cost_once(full_content, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        search_figures, "score_against", lambda *args, **options: drawn.append(args[2]) or go.Figure(go.Scatter())
    )
    render_report(full_content(objectives=("log_loss", "macs", "parameters")))
    assert drawn == ["macs", "parameters"]


def test_equal_contents_give_equal_pages(full_content):
    assert render_report(full_content(architectures=5)) == render_report(full_content(architectures=5))


def test_the_report_needs_no_torch_optuna_or_nni():
    heavy = "import sys, nasrec_automl.report; print(*{'torch', 'optuna', 'nni'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
