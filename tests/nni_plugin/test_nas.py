import subprocess
import sys


def test_importing_it_says_nothing_and_leaves_nnis_own_one_shot_strategies_whole() -> None:
    # Imported after `nni.nas.oneshot`, `nni.nas.strategy` would hold stand-ins that fail when they are used.
    code = "import nasrec_automl.nni_plugin, nni.nas.strategy; print(type(nni.nas.strategy.RandomOneShot()).__name__)"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("RandomOneShot\n", "")
