"""Every instruction against NumPy. Compiled at each run: what the package keeps on disk may be of older ones."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from nasrec_automl.ops import narrow_vectors as v
from nasrec_automl.ops.narrow_vectors import WIDTH

Array = NDArray[np.float32]
THREE = (0, 0, 0)


def draw(rows: int, columns: int = WIDTH) -> Array:
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    kernel: Callable[..., None] = numba.njit(error_model="numpy")(function)
    return kernel


def each(x: Any, out: Any) -> None:
    """One instruction a row."""
    a, b = v.load(x, 0, 0), v.load(x, 1, 0)
    v.store(a + b, out, 0, 0)
    v.store(a - b, out, 1, 0)
    v.store(a * b, out, 2, 0)
    v.store(a / b, out, 3, 0)
    v.store(v.square_root(a * a), out, 4, 0)
    v.store(v.maximum(a, b), out, 5, 0)
    v.store(v.where_positive(a, b), out, 6, 0)
    v.store(v.splat(v.largest(a)), out, 7, 0)


def test_one_vector() -> None:
    x, out = draw(2), np.empty((8, WIDTH), np.float32)
    x[0, :3] = -9, 0, np.nan
    compiled(each)(x, out)
    a, b = x
    expected = [a + b, a - b, a * b, a / b, abs(a), np.where(a > b, a, b), np.where((a > 0) | np.isnan(a), b, 0)]
    np.testing.assert_allclose(out[:7], expected, rtol=1e-6)
    assert (out[7] == 9).all()  # of -9; a NaN does not count


def powers(x: Any, out: Any) -> None:
    for i in range(x.shape[0]):
        v.store(v.exp2(v.load(x, i, 0)), out, i, 0)


def test_powers_of_two_hold_but_for_the_last_places() -> None:
    x = np.linspace(-126, 127.99, 4096 * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    out = np.empty_like(x)
    compiled(powers)(x, out)
    np.testing.assert_allclose(out, np.exp2(x.astype(np.float64)), rtol=3e-7)
    x = np.full((1, WIDTH), np.nan, np.float32)
    x[0, :3] = -127, -1e30, -np.inf
    compiled(powers)(x, out[:1])
    np.testing.assert_allclose(out[0, :3], 2**-126, rtol=3e-7)
    assert np.isnan(out[0, 3:]).all()


def rows(x: Any, factors: Any, out: Any, scalars: Any) -> None:
    """Rows 1 to 3 of x from the second column on, which is no multiple of the width."""
    values, factor = v.load_rows(THREE, x, 1, 1), v.load(factors, 0, 0)
    v.store_rows(v.times(values, factor), out, 0, 0)
    v.store_rows(v.add_scaled(values, v.splat_rows(THREE, x, 1, 5), factor), out, 3, 0)
    v.store(v.add_products(factor, values, v.splat_rows(THREE, x, 1, 0)), out, 6, 0)
    v.store_rows(v.add_scaled(v.zeros(THREE), values, v.splat(np.float32(2))), out, 7, 0)
    v.store_totals(values, scalars, 1, 2)


def test_a_vector_of_each_of_several_rows() -> None:
    x, factor = draw(5, WIDTH + 3), draw(1)
    out, scalars = np.empty((10, WIDTH), np.float32), np.zeros((5, 3), np.float32)
    compiled(rows)(x, factor, out, scalars)
    values = x[1:4, 1 : 1 + WIDTH]
    expected = [values * factor, values + x[1:4, 5:6] * factor, factor + (values * x[1:4, :1]).sum(0), 2 * values]
    np.testing.assert_allclose(out, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    totals = np.zeros_like(scalars)
    totals[1:4, 2] = values.sum(1)
    np.testing.assert_allclose(scalars, totals, rtol=1e-5, atol=1e-6)


def totals(x: Any, step: Any, out: Any) -> None:
    v.store(v.transposed_totals(x, 1, step), out, 0, 0)


@pytest.mark.parametrize("step", [1, 3])
def test_a_lane_is_the_total_of_its_row(step: int) -> None:
    x, out = draw(1 + 3 * WIDTH, WIDTH + 2), np.empty((1, WIDTH), np.float32)
    compiled(totals)(x, step, out)
    np.testing.assert_allclose(out[0], x[1::step, :WIDTH].sum(1)[:WIDTH], rtol=1e-5, atol=1e-6)


KERNEL = """
from nasrec_automl.ops.narrow_vectors import njit

@njit
def double(x):
    return 2 * x
"""


@pytest.mark.parametrize("writable", [True, False])
def test_kernels_are_kept_where_there_is_a_place(
    writable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kernel.py"
    file.write_text(KERNEL)
    if not writable:  # files where numba would make folders: root is not stopped by permissions
        (tmp_path / "__pycache__").touch()
        for name in ("HOME", "XDG_CACHE_HOME"):
            monkeypatch.setenv(name, str(file))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    double = runpy.run_path(str(file))["double"]
    assert double(3) == 6
    assert bool(list(tmp_path.rglob("*.nbi"))) == writable


CALLER = """
import sys
sys.path.insert(0, sys.argv[1])
from narrow_part import part
from narrow_vectors import njit

@njit
def whole(x):
    return x * part()

if __name__ == "__main__":
    print(whole(3), len(whole.stats.cache_hits))
"""


@pytest.mark.slow
def test_a_kernel_that_calls_a_changed_file_is_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "narrow_vectors.py").write_bytes(Path(v.__file__).read_bytes())
    caller = tmp_path / "narrow_caller.py"
    caller.write_text(CALLER)
    for number, answer in ((2, "6 0"), (2, "6 1"), (5, "15 0")):
        (tmp_path / "narrow_part.py").write_text(KERNEL.replace("double(x)", "part()").replace("2 * x", str(number)))
        command = [sys.executable, "-W", "ignore", str(caller), str(tmp_path)]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == answer
