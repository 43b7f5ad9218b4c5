"""The contracts themselves are tested, by operators and samplers that break them."""

import subprocess
import sys
from pathlib import Path

import pytest

DENSE = {
    # Normalised and activated over the full width, then cut: what the published implementation does.
    "leading_slice": "return super().forward(inputs, self.norm.weight.shape[0])[:, :dim]",
    "leading_slice_is": "return super().forward(inputs, dim) + 0 * self.linear.weights['s1'].mean()",
    "output_has_the_width": "return super().forward(inputs, dim)[:, : dim - 1]",
    "rows_are_independent": "return super().forward(inputs, dim) + inputs.dense[0][1].mean()",
    "any_subset": "return super().forward(inputs, dim) / (len(inputs.tokens) - 1)",
    "several_sides": "return super().forward(inputs, dim) + len(inputs.left)",
}
SPARSE = {
    "leading_slice": "return super().forward(inputs, self.norm.weight.shape[0])[..., :dim]",
    "leading_slice_is": "return super().forward(inputs, dim) + 0 * self.linear.weights['s1'].mean()",
    "output_has_the_width": "return super().forward(inputs, dim)[..., : dim - 1]",
    "rows_are_independent": "return super().forward(inputs, dim) + inputs[0][1].mean()",
    "any_subset": "return super().forward(inputs, dim) / (len(inputs) - 1)",
}
SAMPLER = {
    "equal_generators": "self.n = getattr(self, 'n', 0) + 1; return super().sample(np.random.default_rng(self.n))",
    "global_generators": "return super().sample(np.random.default_rng(np.random.randint(9)))",
    "paths_are_of_the_space": "return tiny_space(dense_dims=(999,)).random(rng).path",
    "paths_of_the_spaces": "return tiny_space().random(rng).path",
}

HEAD = """
import numpy as np
import pytest

from nasrec_automl.ops.fc import FullyConnected
from nasrec_automl.ops.projection import Projection
from nasrec_automl.sampling.single_operator import SingleOperatorAnyConnection
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.pytest_ops import DenseOpContract, SparseOpContract
from nasrec_automl.testing.pytest_sampling import PathSamplerContract
"""

CLASS = """
class Test{kind}{number}({kind}Contract):
    @pytest.fixture
    def {fixture}(self):
        class Broken({base}):
            def {method}:
                {body}

        return Broken
"""

KINDS = {
    "DenseOp": (DENSE, {"fixture": "op_class", "base": "FullyConnected", "method": "forward(self, inputs, dim)"}),
    "SparseOp": (SPARSE, {"fixture": "op_class", "base": "Projection", "method": "forward(self, inputs, dim)"}),
    "PathSampler": (
        SAMPLER,
        {"fixture": "sampler_class", "base": "SingleOperatorAnyConnection", "method": "sample(self, rng)"},
    ),
}


@pytest.mark.slow
def test_each_way_to_break_it_is_caught_by_its_test(tmp_path: Path) -> None:
    path = tmp_path / "test_broken.py"
    classes = [
        (f"Test{kind}{number}", test, CLASS.format(kind=kind, number=number, body=body, **names))
        for kind, (broken, names) in KINDS.items()
        for number, (test, body) in enumerate(broken.items())
    ]
    path.write_text(HEAD + "".join(text for *_, text in classes))
    command = [sys.executable, "-m", "pytest", str(path), "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, f"--rootdir={tmp_path}"], capture_output=True, text=True, check=False)
    for name, test, _ in classes:
        caught = [line for line in done.stdout.splitlines() if f"{name}::test_{test}" in line]
        assert caught, f"{test} did not catch {name}\n{done.stdout}"
