"""The contract itself is tested, by operators that break it."""

import subprocess
import sys
from pathlib import Path

BROKEN = {
    # Normalised and activated over the full width, then cut: what the published implementation does.
    "leading_slice": "return super().forward(inputs, self.norm.weight.shape[0])[:, :dim]",
    "leading_slice_is": "return super().forward(inputs, dim) + 0 * self.linear.weights['s1'].mean()",
    "output_has_the_width": "return super().forward(inputs, dim)[:, : dim - 1]",
    "rows_are_independent": "return super().forward(inputs, dim) + inputs.dense[0][1].mean()",
    "any_subset": "return super().forward(inputs, dim) / (len(inputs.tokens) - 1)",
    "several_sides": "return super().forward(inputs, dim) + len(inputs.left)",
}

HEAD = """
import pytest

from nasrec_automl.ops.fc import FullyConnected
from nasrec_automl.testing.pytest_ops import DenseOpContract
"""

CLASS = """
class Test{number}(DenseOpContract):
    @pytest.fixture
    def op_class(self):
        class Broken(FullyConnected):
            def forward(self, inputs, dim):
                {body}

        return Broken
"""


def test_each_way_to_break_it_is_caught_by_its_test(tmp_path: Path) -> None:
    path = tmp_path / "test_broken.py"
    bodies = enumerate(BROKEN.values())
    path.write_text(HEAD + "".join(CLASS.format(number=number, body=body) for number, body in bodies))
    command = [sys.executable, "-m", "pytest", str(path), "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, f"--rootdir={tmp_path}"], capture_output=True, text=True, check=False)
    for number, test in enumerate(BROKEN):
        caught = [line for line in done.stdout.splitlines() if f"Test{number}::test_{test}" in line and "[" in line]
        assert caught, f"{test} did not catch Test{number}\n{done.stdout}"
