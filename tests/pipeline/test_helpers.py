"""Processes that end with the one that started them."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

OWNER = """
import os, subprocess, time
from nasrec_automl.config import DataConfig, Job
from nasrec_automl.pipeline.helpers import start_helper

job = Job(name="mine", data=DataConfig(source="synthetic"))
helper = start_helper("tests.pipeline.sleeping_helper", job=job, environment=os.environ, stdout=subprocess.PIPE)
print(helper.pid, helper.stdout.readline().strip(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_helper_ends_with_its_owner_and_hears_no_ctrl_c(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, name = owner.stdout.readline().split()
        assert name == "mine"
        helper = psutil.Process(int(pid))
        assert os.getpgid(helper.pid) != os.getpgid(owner.pid)
        owner.send_signal(number)
        helper.wait(20)
