"""What a run leaves for Optuna's dashboard, read through the dashboard's own functions and pages."""

import errno
import json
import logging
import os
import re
import sys
from dataclasses import replace
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import get_note, save_note, wsgi

from nasrec_automl.pipeline.dashboard import dashboard_command, publish
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.report import ReportStage, report_content
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.report.notes import best_trainings
from nasrec_automl.report.summary import pareto_front


class Dashboard:
    """Asks the dashboard's pages without a server."""

    def __init__(self, run: RunFolder) -> None:
        store = FileSystemArtifactStore(run.artifacts)
        self._app = wsgi(study_storage(run.job.storage_url), artifact_store=store)
        self._ids = {s["study_name"]: s["study_id"] for s in self.json("/api/studies")["study_summaries"]}

    def get(self, path: str, method: str = "GET") -> tuple[dict[str, str], bytes]:
        environment: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "wsgi.input": BytesIO()}
        setup_testing_defaults(environment)
        answers: list[Any] = []
        body = b"".join(self._app(environment, lambda *answer: answers.extend(answer)))
        status, headers, *_ = answers
        assert status.startswith("2"), (path, status, body)
        return dict(headers), body

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])

    def study(self, study: optuna.Study) -> Any:
        return self.json(f"/api/studies/{self._ids[study.study_name]}")

    def artifact(self, study: optuna.Study, name: str) -> bytes:
        [meta] = [meta for meta in self.study(study)["artifacts"] if meta["filename"] == name]
        return self.get(f"/artifacts/{self._ids[study.study_name]}/{meta['artifact_id']}")[1]


def own_study(study: optuna.Study) -> optuna.Study:
    """The study with a sampler that does not mind being told of a trial that has ended."""
    return optuna.load_study(
        study_name=study.study_name, storage=study._storage, sampler=optuna.samplers.RandomSampler()
    )


def trial_note(study: optuna.Study, number: int) -> str:
    trial_id = study.get_trials(deepcopy=False)[number]._trial_id
    return get_note(optuna.Trial(own_study(study), trial_id))


def numbers_noted(study: optuna.Study) -> list[int]:
    return [trial.number for trial in study.get_trials(deepcopy=False) if trial_note(study, trial.number)]


def titles(page: Any) -> dict[str, str]:
    graphs = {graph["id"]: json.loads(graph["graph_object"]) for graph in page["plotly_graph_objects"]}
    return {name: figure["layout"]["title"]["text"] for name, figure in graphs.items()}


def published(run: RunFolder) -> Any:
    """All that the dashboard is told of both studies."""
    dashboard = Dashboard(run)
    pages = [dashboard.study(study) for study in (begun_study(run, "search"), begun_study(run, "retrain"))]
    for page in pages:
        page["plotly_graph_objects"].sort(key=lambda graph: graph["id"])
    return pages


def test_the_search_study_has_a_note(finished_run: RunFolder) -> None:
    note = get_note(begun_study(finished_run, "search"))
    best = begun_study(finished_run, "search").best_trial
    assert note.startswith("# tiny-search\n")
    line = next(line for line in note.splitlines() if line.startswith("| 1 |"))
    assert f"| {best.number} | " in line
    assert f"{best.values[0]:.5f} ± {best.user_attrs['nasrec:standard_error']:.5f}" in line
    assert f"{best.user_attrs['nasrec:macs']:,} | {best.user_attrs['nasrec:parameters']:,}" in line
    for words in ("| Data | synthetic |", "| Search space | tiny, ", dashboard_command(finished_run), "s0 is the raw"):
        assert words in note
    assert f"The architecture {read_json(finished_run.final)['winner']} was chosen" in note


def test_the_best_trials_have_notes_with_their_architecture_drawn(finished_run: RunFolder) -> None:
    dashboard = Dashboard(finished_run)
    for study, head in (
        (begun_study(finished_run, "search"), "# Number 1 of the search: "),
        (begun_study(finished_run, "retrain"), "# Number 1 of the architectures trained from scratch: "),
    ):
        note = trial_note(study, study.best_trial.number)
        assert note.startswith(head)
        assert "\nblock 3 " in note
        headers, picture = dashboard.get(re.search(r"!\[.*\]\((/artifacts/\d+/[0-9a-f-]+)\)", note)[1])
        assert headers["Content-Type"].startswith("image/svg+xml")
        key = re.search(r"\| key \| (\w+) \|", note)[1]
        assert f"wiring of the architecture {key}".encode() in picture
    noted = [
        each["trial_id"]
        for each in dashboard.study(begun_study(finished_run, "search"))["trials"]
        if each["note"]["body"]
    ]
    assert len(noted) == 10


def test_a_training_costs_what_its_network_does(copied_run: RunFolder) -> None:
    content = report_content(copied_run)
    study, best = begun_study(copied_run, "retrain"), best_trainings(content.retrain)[0]

    def parameters() -> int:
        [counted] = re.findall(r"\| parameters \| ([\d,]+) \|", trial_note(study, best.number))
        return int(counted.replace(",", ""))

    [of_result] = [one.parameters for one in content.results if one.name == best.architecture]
    assert parameters() == of_result
    for other in ({"embedding_dim": 2 * best.hyper.embedding_dim}, {"layer_norm": not best.hyper.layer_norm}):
        changed = [replace(one, hyper=replace(one.hyper, **other)) for one in content.retrain]
        publish(copied_run, lambda: replace(content, retrain=changed))  # noqa: B023
        assert parameters() != of_result


def test_a_training_is_drawn_also_where_the_search_did_not_score_its_architecture(copied_run: RunFolder) -> None:
    content, study = report_content(copied_run), begun_study(copied_run, "retrain")
    best = best_trainings(content.retrain)[0]
    before = trial_note(study, best.number)
    [score] = re.findall(r"\| score in the search \|.*\n", before)
    unscored = replace(content, search=[one for one in content.search if one.name != best.architecture])
    publish(copied_run, lambda: unscored)
    # But for the hash in the signature.
    after = trial_note(study, best.number)
    assert after.rpartition(" ")[0] == before.replace(score, "").rpartition(" ")[0]


def test_a_model_that_was_moved_away_is_no_failure(copied_run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    copied_run.best.rename(copied_run.path / "served")
    publish(copied_run, lambda: report_content(copied_run))
    assert not caplog.records


def test_figures_are_saved_into_the_studies(finished_run: RunFolder) -> None:
    winner = read_json(finished_run.final)["winner"]
    search, retrain = published(finished_run)
    both = {
        "nasrec-agreement": "Score against log loss from scratch",
        "nasrec-wiring": f"The architecture chosen: {winner}",
    }
    assert titles(search) == {
        **both,
        "nasrec-history": "Search history",
        "nasrec-macs": "Score against multiply-adds per example",
        "nasrec-frequencies": "Operators and widths: best decile against the others",
    }
    assert titles(retrain) == {
        **both,
        "nasrec-settings": "Log loss against each setting",
        "nasrec-curves": "Validation log loss while training",
    }
    for graph in search["plotly_graph_objects"]:
        figure = json.loads(graph["graph_object"])
        assert figure["data"] or figure["layout"]["images"]
        assert figure["layout"]["height"] <= 450, "the dashboard cuts what is higher"


def test_of_several_objectives_the_front_comes_first(front_run: RunFolder) -> None:
    study, content = begun_study(front_run, "search"), report_content(front_run)
    front = [each.number for each in pareto_front(content.search, ["macs"])]
    assert front[1:], "of one trial alone nothing is tested"
    assert {*front} == {trial.number for trial in study.best_trials}
    for rank, number in enumerate(front[:10], 1):
        assert trial_note(study, number).startswith(f"# Number {rank} of the search, on its Pareto front: ")
    noted = numbers_noted(study)
    others = [number for number in noted if number not in front]
    assert len(noted) == 10
    assert not [number for number in others if "Pareto front" in trial_note(study, number)]
    assert f"comes first ({len(front)} architectures), then that of the rest" in get_note(study)
    lines = [line.split(" | ")[1] for line in get_note(study).splitlines() if re.match(r"\| \d+ \| \d+ \| ", line)]
    assert [int(number) for number in lines[: len(front)]] == front[:10]


def test_of_several_objectives_each_cost_has_a_figure(front_run: RunFolder, copied_run: RunFolder) -> None:
    macs = titles(Dashboard(front_run).study(begun_study(front_run, "search")))
    assert "nasrec-latency_ms" not in macs
    assert macs["nasrec-macs"] == "Score against multiply-adds per example"
    content = report_content(copied_run)
    timed = [replace(each, latency_ms=1.25 + each.number) for each in content.search]
    publish(copied_run, lambda: replace(content, search=timed, objectives=("log_loss", "latency_ms", "parameters")))
    study = begun_study(copied_run, "search")
    drawn = titles(Dashboard(copied_run).study(study))
    assert drawn["nasrec-latency_ms"] == "Score against latency (ms)"
    assert {"nasrec-macs", "nasrec-parameters"} <= drawn.keys()
    best = study.best_trial.number
    assert f"| latency (ms) | {1.25 + best:.3g} |" in trial_note(study, best)
    assert " | parameters | latency (ms) |\n" in get_note(study)


def test_the_models_files_are_artifacts(finished_run: RunFolder) -> None:
    dashboard, study = Dashboard(finished_run), begun_study(finished_run, "retrain")
    for name in ("model.safetensors", "architecture.json", "preprocessing.json"):
        assert dashboard.artifact(study, name) == (finished_run.best / name).read_bytes()


def test_a_second_time_replaces_and_adds_nothing(copied_run: RunFolder) -> None:
    publish(copied_run, lambda: report_content(copied_run))  # notes name the folder, which is another one
    before, files = published(copied_run), sorted(copied_run.artifacts.iterdir())
    (copied_run.best / "architecture.json").write_text("changed")
    publish(copied_run, lambda: report_content(copied_run))
    assert published(copied_run) == before
    assert sorted(copied_run.artifacts.iterdir()) == files
    assert Dashboard(copied_run).artifact(begun_study(copied_run, "retrain"), "architecture.json") == b"changed"


def test_trials_that_are_no_longer_among_the_best_lose_their_note(copied_run: RunFolder) -> None:
    study, content = begun_study(copied_run, "search"), report_content(copied_run)
    best = study.best_trial.number
    fewer = replace(content, search=[scored for scored in content.search if scored.number != best])
    publish(copied_run, lambda: fewer)
    assert trial_note(study, best) == ""
    noted = numbers_noted(study)
    assert len(noted) == 10
    assert all(trial_note(study, number).startswith("# Number ") for number in noted)


def test_what_a_user_wrote_or_edited_stays(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "search")
    best, other = study.best_trial, study.get_trials(deepcopy=False)[0]
    edited = get_note(study).replace("tiny-search", "my search")
    save_note(study, edited)
    save_note(optuna.Trial(own_study(study), best._trial_id), "my favourite")
    save_note(optuna.Trial(own_study(study), other._trial_id), "the first")
    publish(copied_run, lambda: report_content(copied_run))
    assert get_note(study) == edited
    assert trial_note(study, best.number) == "my favourite"
    assert trial_note(study, other.number) == "the first"


def test_notes_of_a_study_that_was_copied_into_another_database_are_written_anew(copied_run: RunFolder) -> None:
    url = f"sqlite:///{copied_run.path / 'other.db'}"
    optuna.create_study(storage=url, study_name="before").add_trials([optuna.create_trial(value=0.0)] * 2)
    noted = []
    for study in (begun_study(copied_run, "search"), begun_study(copied_run, "retrain")):
        noted.append(numbers_noted(study))
        optuna.copy_study(from_study_name=study.study_name, from_storage=copied_run.job.storage_url, to_storage=url)
    moved = RunFolder(copied_run.job.model_copy(update={"storage": url}))
    studies = begun_study(moved, "search"), begun_study(moved, "retrain")
    assert [numbers_noted(study) for study in studies] != noted
    publish(moved, lambda: report_content(moved))
    assert [numbers_noted(study) for study in studies] == noted
    # Nor are there notes for trials to come, under ids of the database before.
    for study, numbers in zip(studies, noted, strict=True):
        attrs = study._storage.get_study_system_attrs(study._study_id).items()
        ids = {name.split(":")[1] for name, text in attrs if re.fullmatch(r"dashboard:\d+:note_str:\d+", name) and text}
        assert ids == {str(study.get_trials(deepcopy=False)[number]._trial_id) for number in numbers}


def test_an_edited_note_keeps_its_picture_when_others_are_best(copied_run: RunFolder) -> None:
    study, content = begun_study(copied_run, "search"), report_content(copied_run)
    best = study.best_trial
    note = trial_note(study, best.number)
    save_note(optuna.Trial(own_study(study), best._trial_id), f"{note}\nmy favourite")
    publish(copied_run, lambda: replace(content, search=[one for one in content.search if one.number != best.number]))
    picture = Dashboard(copied_run).get(re.search(r"\((/artifacts/[^)]+)\)", note)[1])[1]
    assert f"wiring of the architecture {best.user_attrs['nasrec:key']}".encode() in picture


def test_an_artifact_that_a_user_deleted_comes_back(copied_run: RunFolder) -> None:
    study = begun_study(copied_run, "search")
    picture = re.search(r"\((/artifacts/[^)]+)\)", trial_note(study, study.best_trial.number))[1]
    Dashboard(copied_run).get(f"/api{picture}", "DELETE")
    publish(copied_run, lambda: report_content(copied_run))
    picture = re.search(r"\((/artifacts/[^)]+)\)", trial_note(study, study.best_trial.number))[1]
    assert Dashboard(copied_run).get(picture)[1].startswith(b"<svg")


def test_each_stage_writes_as_it_ends(copied_run: RunFolder) -> None:
    search, retrain = begun_study(copied_run, "search"), begun_study(copied_run, "retrain")
    for stage, study, mark in (
        (SearchStage(), search, copied_run.top),
        (RetrainStage(), retrain, copied_run.retrain_done),
        (ReportStage(), search, copied_run.report),
    ):
        save_note(study, "")
        mark.unlink()
        stage.run(copied_run)
        assert get_note(study).startswith(f"# {study.study_name}"), stage.name


def test_before_there_is_a_result_the_best_score_is_shown(copied_run: RunFolder) -> None:
    for path in (copied_run.result, copied_run.final, copied_run.top):
        path.unlink()
    study = begun_study(copied_run, "search")
    publish(copied_run, lambda: report_content(copied_run))
    note = get_note(study)
    assert "was chosen" not in note
    assert f"nasrec-automl status {copied_run.path}" in note
    assert titles(Dashboard(copied_run).study(study))["nasrec-wiring"].startswith("The architecture best so far: ")


def test_trials_and_identity_stay_what_they_were(copied_run: RunFolder) -> None:
    before = begun_study(copied_run, "search").get_trials()
    publish(copied_run, lambda: report_content(copied_run))
    assert begun_study(copied_run, "search").get_trials() == before


def test_what_goes_wrong_is_a_warning(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with caplog.at_level(logging.WARNING):
        publish(copied_run, lambda: report_content(copied_run))
    assert "notes and figures for Optuna's dashboard were not written" in caplog.text
    assert "`nasrec-automl report` writes them again" in caplog.text


def test_a_figure_that_cannot_be_drawn_is_a_warning(copied_run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    publish(copied_run, lambda: {}["nothing"])
    assert "were not written (KeyError: 'nothing')" in caplog.text


def test_one_process_at_a_time_writes(copied_run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    study = begun_study(copied_run, "search")
    save_note(study, "")
    with copied_run.lock("dashboard"):
        publish(copied_run, lambda: report_content(copied_run))
    assert get_note(study) == ""
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_folder_that_cannot_be_locked_is_a_warning(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    publish(copied_run, lambda: report_content(copied_run))
    assert "the file system cannot lock files" in caplog.text


def test_the_command_hides_the_password(finished_run: RunFolder) -> None:
    job = finished_run.job.model_copy(update={"storage": "postgresql://me:secret@host/studies"})
    assert dashboard_command(RunFolder(job)) == (
        f"optuna-dashboard 'postgresql://me:***@host/studies' --artifact-dir {finished_run.artifacts} --port 8081"
    )
