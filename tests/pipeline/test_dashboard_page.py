"""Optuna's dashboard on a finished run, in a browser. `make test-browser`; screenshots go to `build/browser/`."""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import begun_study
from tests.ports import free_port

pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def dashboard(finished_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the real `optuna-dashboard`, with the run's artifacts."""
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [program, finished_run.job.storage_url, "--artifact-dir", finished_run.artifacts, "--port", str(port)]
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            yield wait_for(f"http://127.0.0.1:{port}", server, log)
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/studies", timeout=5).close()
            return url
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the dashboard does not answer"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is not installed; `make test-browser` installs it")
    chromium = shutil.which("chromium")
    assert chromium, "chromium not found; install it with `apt-get install chromium`"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=chromium,
            headless=True,
            args=OPTIONS,
            viewport={"width": 1500, "height": 1100},
        )
        context.set_default_timeout(20_000)
        yield context.new_page()
        context.close()


def shoot(page: Any, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def study_page(dashboard: str, study: Any) -> str:
    return f"{dashboard}/dashboard/studies/{study._study_id}"


def drawn(page: Any, name: str) -> Any:
    """The figure of this name, once plotly has drawn it."""
    figure = page.locator(f"[id='user-defined-plot:nasrec-{name}']")
    figure.locator(".main-svg").first.wait_for()
    return figure


def title(figure: Any) -> str:
    return " ".join(figure.locator(".gtitle").text_content().split())


def loaded(page: Any, selector: str) -> list[int]:
    """Natural widths of pictures, once all of them are there."""
    page.locator(selector).first.wait_for()
    script = "s => [...document.querySelectorAll(s)].every(i => i.complete)"
    page.wait_for_function(script, arg=selector)
    return page.eval_on_selector_all(selector, "all => all.map(image => image.naturalWidth)")


def test_the_search_study_shows_its_figures(dashboard: str, page: Any, finished_run: RunFolder) -> None:
    study = begun_study(finished_run, "search")
    scored = len(study.get_trials(deepcopy=False))
    page.goto(study_page(dashboard, study))
    history = drawn(page, "history")
    assert title(history) == "Search history"
    assert history.locator(".scatterlayer .points path").count() >= scored
    macs = drawn(page, "macs")
    assert title(macs) == "Score against multiply-adds per example"
    assert "Pareto front" in macs.locator(".legend").text_content()
    frequencies = drawn(page, "frequencies")
    assert title(frequencies) == "Operators and widths: best decile against the others"
    assert frequencies.locator(".barlayer .point").count() >= 8
    agreement = drawn(page, "agreement")
    assert title(agreement) == "Score against log loss from scratch"
    assert "Kendall's τ = " in agreement.locator(".infolayer").text_content()
    wiring = drawn(page, "wiring")
    assert title(wiring) == f"The architecture chosen: {read_json(finished_run.final)['winner']}"
    box = wiring.locator(".imagelayer image").bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 200
    widths = loaded(page, "img[src*='/artifacts/']")
    assert len(widths) == 10
    assert all(widths)
    shoot(page, "search")


def test_no_figure_is_cut(dashboard: str, page: Any, finished_run: RunFolder) -> None:
    for study, names in (
        (begun_study(finished_run, "search"), ("history", "macs", "frequencies", "agreement", "wiring")),
        (begun_study(finished_run, "retrain"), ("settings", "curves", "agreement", "wiring")),
    ):
        page.goto(study_page(dashboard, study))
        for name in names:
            figure = drawn(page, name)
            inner, outer = figure.locator(".main-svg").first.bounding_box(), figure.bounding_box()
            assert inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1, name


def test_the_search_study_has_its_note(dashboard: str, page: Any, finished_run: RunFolder) -> None:
    study = begun_study(finished_run, "search")
    page.goto(f"{study_page(dashboard, study)}/note")
    page.get_by_role("heading", name="The best scores").wait_for()
    cells = page.locator("table").first.locator("tbody tr").first.locator("td").all_text_contents()
    assert cells[1] == str(study.best_trial.number)
    text = page.locator("body").inner_text()
    for words in ("Data and space", "How to go on", "optuna-dashboard sqlite:///", "--artifact-dir", "How to read it"):
        assert words in text
    assert "| ---" not in text, "tables are rendered"
    shoot(page, "note")


def test_the_best_trial_has_its_architecture_drawn(dashboard: str, page: Any, finished_run: RunFolder) -> None:
    for study, name in (
        (begun_study(finished_run, "search"), "trial"),
        (begun_study(finished_run, "retrain"), "training"),
    ):
        page.goto(f"{study_page(dashboard, study)}/trials?numbers={study.best_trial.number}")
        page.get_by_role("heading", name="Number 1 of").wait_for()
        assert min(loaded(page, "img[src*='/artifacts/']")) > 100
        assert "block 3" in page.locator("code").first.text_content()
        shoot(page, name)


def test_the_retrain_study_has_the_model(dashboard: str, page: Any, finished_run: RunFolder) -> None:
    page.goto(study_page(dashboard, begun_study(finished_run, "retrain")))
    assert title(drawn(page, "settings")) == "Log loss against each setting"
    assert title(drawn(page, "curves")) == "Validation log loss while training"
    for name in ("model.safetensors", "architecture.json", "preprocessing.json"):
        page.get_by_text(name).first.wait_for()
    shoot(page, "retrain")
