"""What the tests' processes do not share."""

import os
import pwd
from pathlib import Path

from nni.tools.nnictl.constants import NNI_HOME_DIR


def test_nni_lists_experiments_in_a_home_of_this_process_alone() -> None:
    home = Path(os.environ["HOME"])
    assert Path(NNI_HOME_DIR).parent == home
    assert home != Path(pwd.getpwuid(os.getuid()).pw_dir)
