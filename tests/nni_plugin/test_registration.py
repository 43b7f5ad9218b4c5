import subprocess
import sys

import nasrec_automl
from nasrec_automl.nni_plugin import NasRecOneShot, OptunaEvolution


def test_strategies_are_nnis_own_once_registered_and_not_before() -> None:
    code = (
        "import sys, nasrec_automl; print('nni' in sys.modules); import nni.nas.strategy as s\n"
        "print(hasattr(s, 'NasRecOneShot'), hasattr(s, 'OptunaEvolution'))\n"
        "nasrec_automl.register(); first = s.NasRecOneShot, s.OptunaEvolution\n"
        "nasrec_automl.register(); print(first == (s.NasRecOneShot, s.OptunaEvolution))\n"
        "print(type(s.NasRecOneShot()).__module__, type(s.RandomOneShot()).__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == [
        "False",
        "False False",
        "True",
        "nasrec_automl.nni_plugin.oneshot RandomOneShot",
    ]


def test_they_are_the_plugins_classes() -> None:
    import nni.nas.strategy

    nasrec_automl.register()
    assert nni.nas.strategy.NasRecOneShot is NasRecOneShot
    assert nni.nas.strategy.OptunaEvolution is OptunaEvolution
