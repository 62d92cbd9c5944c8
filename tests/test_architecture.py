"""The house stays as docs/architecture.md draws it: imports go one way, in no circle, through rooms of a sane size."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tdam", "wsol", "eval")  # each may import itself and those before it
MOST_MODULES = 15  # of a folder
MOST_LINES = 400


def modules() -> dict[str, Path]:
    """Name -> file of every module of the three packages."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(name: str) -> set[str]:
    """Modules of ours that a module imports anywhere, also inside functions; for type checkers alone does not count."""
    found: set[str] = set()
    # A face that imports its names at their first use lists them in a stub.
    files = (MODULES[name], MODULES[name].with_suffix(".pyi"))
    nodes: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level:  # of a package's face
            node.module, node.level = ".".join(filter(None, (name, node.module))), 0
        if isinstance(node, ast.ImportFrom) and node.module:
            # "from package import name" imports the module of that name, or what the package's face hands on.
            found |= {full if (full := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}
        nodes += ast.iter_child_nodes(node)
    return {one for one in found if one in MODULES and one != name}


def graph() -> networkx.DiGraph:
    """Who imports whom."""
    return networkx.DiGraph([(name, other) for name in MODULES for other in imports_of(name)])


def test_imports_go_from_eval_over_wsol_to_tdam() -> None:
    backwards = [
        f"{name} imports {other}"
        for name, other in graph().edges
        if PACKAGES.index(other.split(".")[0]) > PACKAGES.index(name.split(".")[0])
    ]
    assert not backwards


def test_no_circle_of_imports() -> None:
    # A package's face hands on names of its modules; taking a name from one's own package's face is a circle too.
    circles = [sorted(one) for one in networkx.strongly_connected_components(graph()) if len(one) > 1]
    assert not circles


def test_folders_and_files_have_a_sane_size() -> None:
    folders: dict[Path, list[str]] = {}
    for path in MODULES.values():
        if path.name != "__init__.py":
            folders.setdefault(path.parent, []).append(path.name)
    too_many = {str(folder.relative_to(ROOT)): len(names) for folder, names in folders.items()}
    assert {n: count for n, count in too_many.items() if count > MOST_MODULES} == {}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_says_what_it_is() -> None:
    assert [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []


@pytest.mark.parametrize("code", ["from wsol.metrics import MaxBoxAcc", "import wsol, tdam; wsol.Localizer"])
def test_a_users_own_eval_module_breaks_nothing(tmp_path: Path, code: str) -> None:
    """Researchers keep an eval.py in the folder they work in; Python finds it first there."""
    (tmp_path / "eval.py").write_text("raise SystemExit('the eval.py of the working directory was imported')\n")
    command = f"import sys; sys.path.insert(0, ''); {code}; print('fine')"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


def test_commands_work_beside_a_users_own_eval_module(tmp_path: Path) -> None:
    (tmp_path / "eval.py").write_text("raise SystemExit('the eval.py of the working directory was imported')\n")
    for module in ("wsol.commands.show", "wsol.commands.data", "wsol.commands.train", "wsol.commands.demo"):
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, ''); import {module}; print('fine')"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout == "fine\n", done.stderr
