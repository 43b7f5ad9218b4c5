import json
import subprocess
import sys
from pathlib import Path

import nni
import pytest
from nni.runtime.config import get_config_file

from nasrec_automl.nni_plugin import nas


def test_importing_it_says_nothing_and_leaves_nnis_own_one_shot_strategies_whole() -> None:
    # Imported after `nni.nas.oneshot`, `nni.nas.strategy` would hold stand-ins that fail when they are used.
    code = "import nasrec_automl.nni_plugin, nni.nas.strategy; print(type(nni.nas.strategy.RandomOneShot()).__name__)"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("RandomOneShot\n", "")


@pytest.mark.parametrize("before", ["", '{"nasrec_automl.errors": {}}'], ids=["fresh", "used"])
def test_nni_finds_its_settings_whole_and_those_that_were_there_stay(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNI_CONFIG_DIR", str(tmp_path))
    # NNI's own copy is written in place: another process could read half of it.
    monkeypatch.setattr("shutil.copyfile", lambda *_: pytest.fail("NNI copied its settings"))
    if before:
        (tmp_path / "training_services.json").write_text(before)
    nas._settle_settings()
    found = get_config_file("training_services.json")
    assert json.loads(found.read_text()) == json.loads(before or "{}")
    assert [path.name for path in tmp_path.iterdir()] == [found.name]


@pytest.mark.parametrize("text", ["gAWV//8A", "sqlite:///studies.db", "user#id"])
def test_nni_reads_what_it_says_of_a_model_that_ended(text: str) -> None:
    parameters = nni.dump({"parameter_id": 0, "parameters": text})
    message = nni.dump({"type": "EN", "content": nni.dump({"event": "SUCCEEDED", "hyper_params": parameters})})
    content = nni.load(nni.load(message)["content"])
    assert nni.load(content["hyper_params"])["parameters"] == text


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*comment")
def test_nni_still_reads_json_with_comments() -> None:
    assert nni.load('{"rate": 0.1}  // of the optimiser\n') == {"rate": 0.1}
