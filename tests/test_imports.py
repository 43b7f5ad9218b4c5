"""The package's architecture, held as the design states it: imports go one way, heavy ones stay in their places."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nasrec_automl

ROOT = Path(nasrec_automl.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

LAYERS = (
    {"errors"},
    {
        "frozen",
        "schema",
        "architecture",
        "yaml_files",
        "space",
        "cost",
        "budget",
        "pareto",
        "config_types",
        "config_changes",
        "config_paths",
        "hyper_space",
        "config_ranking",
        "config_experiment",
        "config_training",
        "config",
        "randomness",
        "ranking",
        "verdict",
        "heartbeat",
        "interrupts",
        "processes",
        "score",
        "digest",
        "published",
        "hand_designs",
    },
    {"data", "ops", "sampling"},
    {"network"},
    {"training"},
    {"evaluation"},
    {"search"},
    {"report", "export", "nni_plugin"},
    {"pipeline"},
    {"experiment"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

NNI_USERS = ("nni_plugin/", "experiment/", "pipeline/supernet_training.py", "testing/")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> list[str]:
    """Full names of what a module imports, `from a import b` as `a.b`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def parts(path: Path) -> str:
    """The top-level part of the package that a module belongs to."""
    return relative(path).split("/")[0].removesuffix(".py")


def test_every_part_has_its_place_in_the_order() -> None:
    found = {parts(path) for path in MODULES}
    assert found <= {*LAYER, "__init__", "testing"}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    own = parts(path)
    if own in ("__init__", "testing"):
        return  # the package's door loads everything on use; contract tests may import anything
    for name in imports(ast.parse(path.read_text())):
        top, _, rest = name.partition(".")
        if top != "nasrec_automl":
            continue
        other = rest.split(".")[0]
        if other in ("__version__", "search_spaces"):
            continue
        if other not in LAYER:
            other = nasrec_automl._HOME[other].split(".")[0]  # a name of the package's door
        assert other == own or LAYER[other] <= LAYER[own], f"{own} must not import {other} ({name})"
        if other != own and LAYER[other] == LAYER[own]:
            assert LAYER[own] == 1, f"{own} and {other} stand beside each other ({name})"


def test_the_core_has_no_circle() -> None:
    core = LAYERS[1]
    needs: dict[str, set[str]] = {}
    for own in core:
        tree = ast.parse((ROOT / f"{own}.py").read_text())
        module_level = ast.Module([node for node in tree.body if not is_type_checking(node)], [])
        at_import = [
            n
            for node in module_level.body
            if not isinstance(node, ast.ClassDef | ast.FunctionDef)
            for n in imports(node)
        ]
        needs[own] = {name.split(".")[1] for name in at_import if name.startswith("nasrec_automl.")}
    assert {other for found in needs.values() for other in found} <= {*core, "errors"}
    TopologicalSorter(needs).prepare()  # raises CycleError


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nni_is_imported_in_its_places_alone(path: Path) -> None:
    tree = ast.parse(path.read_text())
    heavy = ("nni", "nasrec_automl.nni_plugin")

    def users(root: ast.AST) -> list[str]:
        return [name for name in imports(root) if any(name == h or name.startswith(f"{h}.") for h in heavy)]

    if not relative(path).startswith(NNI_USERS):
        if relative(path) == "__init__.py":  # the package's door loads `register` on use; checkers see it there
            tree = ast.Module([node for node in tree.body if not is_type_checking(node)], [])
        assert users(tree) == []
    elif relative(path) == "pipeline/supernet_training.py":
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        outside = [
            node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside
        ]
        assert [name for node in outside for name in users(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_tests_alone_import_the_contracts(path: Path) -> None:
    names = imports(ast.parse(path.read_text()))
    if parts(path) != "testing":
        assert not [n for n in names if n.startswith(("nasrec_automl.testing", "pytest", "hypothesis"))]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_pickle_comes_from_disk(path: Path) -> None:
    tree = ast.parse(path.read_text())
    pickles = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert not [name for name in imports(tree) if name.split(".")[0] in pickles]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = ast.unparse(call.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if function == "torch.load":
            assert options.get("weights_only") == "True", f"line {call.lineno}"
        if function in ("np.load", "numpy.load"):
            assert options.get("allow_pickle", "False") == "False", f"line {call.lineno}"
        assert function not in ("pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.unsafe_load")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


PRIVATE = {"training/foreach.py"}
"""Where private names are used, and why is said."""
PUBLIC = {"os._exit", "argparse._SubParsersAction"}
"""Private by their names alone: one is documented, one is the type of what a documented function returns."""


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_private_name_of_another_library_is_used(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for name in imports(tree):
        own = name.startswith(("nasrec_automl", "__future__"))
        assert own or not any(part.startswith("_") for part in name.split(".")), name
    modules = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    used = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if ast.unparse(node.value).split(".")[0] in modules
    ]
    assert bool({*used} - PUBLIC) == (relative(path) in PRIVATE), used
