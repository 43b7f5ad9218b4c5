import re
from dataclasses import replace

from nasrec_automl.report.notes import best_trainings, retrain_note, scored_note, search_note, trained_note
from nasrec_automl.report.sentences import headline, trust
from nasrec_automl.report.summary import best_first, by_score, pareto_front, retrained_best


def table(note, title):
    """Cells of the table under a title."""
    lines = note.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_search_note_has_the_best_and_how_to_go_on(full_content):
    content = full_content()
    note = search_note(content, "quickstart-search")
    best = by_score(content.search)
    cells = table(note, "The best scores")
    assert [int(row[1]) for row in cells] == [each.number for each in best[:10]]
    assert cells[0][2:] == [
        best[0].key,
        f"{best[0].log_loss:.5f} ± {best[0].standard_error:.5f}",
        f"{best[0].auc:.4f}",
        f"{best[0].macs:,}",
        f"{best[0].parameters:,}",
    ]
    assert ["Data", "MovieLens-100k"] in table(note, "Data and space")
    assert "\n".join(content.how_to_go_on) in note
    assert headline(content) in note
    assert all(sentence in note for sentence in trust(content))
    assert not re.search(r"<\w", note), "the dashboard shows HTML as text"


def test_scores_of_another_evaluator_are_not_said_to_be_the_supernets(full_content):
    content = full_content()
    assert ", 300 scored with the supernet's shared weights.\n" in search_note(content, "s")
    others = [replace(each, standard_error=None, auc=None, rows=None) for each in content.search]
    note = search_note(full_content(search=others), "s")
    assert "shared weights" not in note
    best = by_score(others)[0]
    assert table(note, "The best scores")[0][3:5] == [f"{best.log_loss:.5f}", ""]
    of_trial = scored_note(1, best, "picture.svg")
    assert f"| log loss | {best.log_loss:.5f} |" in of_trial
    assert not any(f"| {fact} |" in of_trial for fact in ("AUC", "rows read"))


def test_of_several_objectives_the_front_comes_first(full_content):
    content = full_content(objectives=("log_loss", "macs"))
    front = pareto_front(content.search, ["macs"])
    note = search_note(content, "s")
    shown = [int(row[1]) for row in table(note, "The best scores")]
    assert shown == [each.number for each in best_first(content.search, ["macs"])[:10]]
    count = f"{len(front)} architectures"
    assert f"The Pareto front of log loss, multiply-adds per example comes first ({count}), then that of " in note


def test_before_the_end_nothing_was_chosen(full_content):
    note = search_note(full_content(results=[], retrain=[]), "s")
    assert "was chosen and" not in note
    note = retrain_note(full_content(results=[]), "s")
    assert "artifacts of this study" not in note
    assert "The architecture" not in note
    assert "was chosen" not in note


def test_hand_designs_alone_show_no_agreement(unscored_content):
    note = retrain_note(unscored_content(), "s")
    assert "The candidates, trained from scratch on MovieLens-100k: 24 trainings.\n" in note
    assert "Kendall" not in note


def test_names_are_shown_literally(full_content):
    note = search_note(full_content(dataset="a|b_c*d<e>"), "s")
    assert r"a\|b\_c\*d\<e\>" in note


def test_the_retrain_note_has_the_best_training_of_each(full_content):
    content = full_content()
    note = retrain_note(content, "quickstart-retrain")
    best = retrained_best(content.retrain)
    cells = table(note, "The best training of each")
    assert [row[2] for row in cells] == sorted(best, key=lambda name: best[name])
    assert [row[3] for row in cells] == [f"{loss:.5f}" for loss in sorted(best.values())]
    scores = {each.name: each.log_loss for each in content.search}
    assert all(row[4] == f"{scores[row[2]]:.5f}" for row in cells)
    assert "Kendall's τ = " in note
    assert "artifacts of this study" in note
    assert headline(content) in note


def test_the_best_training_of_equals_is_the_first(full_content):
    content = full_content()
    trial = replace(content.retrain[0], state="complete", log_loss=0.5)
    twice = [replace(trial, number=7), trial, replace(trial, number=9, state="pruned", log_loss=0.1)]
    assert [each.number for each in best_trainings(twice)] == [trial.number]


def test_a_trials_note_draws_its_architecture(full_content):
    content = full_content()
    scored = by_score(content.search)[0]
    note = scored_note(1, scored, "/artifacts/1/ab")
    assert note.startswith(f"# Number 1 of the search: {scored.key}\n")
    assert "](/artifacts/1/ab)" in note
    assert "```\nblock 1 " in note
    assert f"| multiply-adds per example | {scored.macs:,} |" in note
    assert "latency" not in note
    added = scored_note(1, replace(scored, auc=None, standard_error=None), "/artifacts/1/ab")
    assert f"| log loss | {scored.log_loss:.5f} |\n| multiply-adds" in added
    timed = scored_note(1, replace(scored, latency_ms=1.5), "/artifacts/1/ab", on_front=True)
    assert timed.startswith(f"# Number 1 of the search, on its Pareto front: {scored.key}\n")
    assert "| latency (ms) | 1.5 |" in timed
    stopped = scored_note(1, replace(scored, rows=512, stopped=True), "/artifacts/1/ab")
    assert "| rows read | 512, stopped early: the score is an estimate |" in stopped


def test_a_trainings_note_has_both_losses(full_content):
    content = full_content()
    trial = best_trainings(content.retrain)[0]
    scored = next(each for each in content.search if each.name == trial.architecture)
    costs = {"macs": 12_345, "parameters": 678}
    note = trained_note(2, trial, scored.architecture, costs, scored, "/artifacts/1/ab")
    assert note.startswith("# Number 2 of the architectures trained from scratch")
    assert f"| log loss from scratch | {trial.log_loss:.5f} |" in note
    score = f"{scored.log_loss:.5f} ± {scored.standard_error:.5f} (trial {scored.number})"
    assert f"| score in the search | {score} |" in note
    assert "| multiply-adds per example | 12,345 |\n| parameters | 678 |\n" in note
    assert "```\nblock 1 " in note
    line = f"| score in the search | {score} |\n"
    unscored = trained_note(2, trial, scored.architecture, costs, None, "/artifacts/1/ab")
    assert unscored == note.replace(line, "")
