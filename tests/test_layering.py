"""The house's rules of import, enforced on the source itself."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "teacher": {"teacher"},
    "student": {"student"},
    "distill": {"teacher", "student", "distill"},
    "export": {"teacher", "student", "distill", "export"},
}
MAIN = ROOT / "distill" / "main.py"  # the verb table names later packages, as text


def imports_of(source: str) -> list[tuple[int, str]]:
    """Line and top-level package of every import in a source text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.lineno, node.module.split(".")[0]))
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_comes_before_it(package):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, name in imports_of(path.read_text())
        if name in ALLOWED and name not in ALLOWED[package]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_resolve_inside_the_repository(package):
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


def test_the_predictor_for_devices_needs_numpy_and_onnxruntime_alone():
    files = sorted((ROOT / "export" / "session").glob("*.py"))
    names = {name for path in files for _, name in imports_of(path.read_text())}
    assert names - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}


def test_imports_of_finds_imports_inside_functions():
    source = "import os.path\ndef f():\n    from teacher.depth import x\n    from . import y\n"
    assert imports_of(source) == [(1, "os"), (3, "teacher")]
