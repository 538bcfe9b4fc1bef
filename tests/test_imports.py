"""The import directions of docs/design.md, and that nothing heavy comes along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"daemon", "spool", "httpd"}
MESH_AND_MODELS = {
    "torch",
    "rembg",
    "trimesh",
    "onnxruntime",
    "cv2",
    "scipy",
    "pyamg",
    "fast_simplification",
} | {"igl", "manifold3d", "pxr", "DracoPy"}


def imported(path: Path, *, module_level: bool) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in _outside_functions(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or typing_only:
            continue
        yield node
        yield from _outside_functions(node)


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize(("package", "may"), [("spool", {"spool"}), ("httpd", {"httpd", "spool"})])
def test_imports_go_one_way(package: str, may: set[str]) -> None:
    for path in files(package):
        tops = {name.partition(".")[0] for name in imported(path, module_level=False)}
        assert tops & OURS <= may, path


def test_the_daemon_never_imports_the_server() -> None:
    for path in files("daemon"):
        assert "httpd" not in {name.partition(".")[0] for name in imported(path, module_level=False)}, path


def test_the_spool_uses_the_standard_library_only() -> None:
    for path in files("spool"):
        tops = {name.partition(".")[0] for name in imported(path, module_level=False)}
        assert tops <= set(sys.stdlib_module_names) | {"spool"}, path


def test_only_engines_import_models_and_meshes() -> None:
    for path in files("daemon"):
        if (ROOT / "daemon" / "engines") in path.parents:
            continue
        tops = {name.partition(".")[0] for name in imported(path, module_level=True)}
        assert not tops & MESH_AND_MODELS, path


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("spool", {"asyncio", "numpy", "PIL"}),
        ("daemon.supervisor", {"torch", "trimesh", "rembg", "numpy", "PIL", "onnxruntime", "cv2"}),
        ("daemon.cli.__main__", {"torch", "trimesh", "rembg", "numpy", "PIL", "watchdog"}),
        ("httpd.app", {"torch", "trimesh", "rembg", "numpy", "PIL"}),
    ],
)
def test_what_a_process_imports_at_start(module: str, never: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not never & set(run.stdout.split())


def test_daemon_has_no_module_that_python_daemon_has_too() -> None:
    assert not (ROOT / "daemon" / "daemon.py").exists()
    assert not (ROOT / "daemon" / "pidfile.py").exists()
    body = ast.parse((ROOT / "daemon" / "__init__.py").read_text()).body
    assert len(body) == 1 and isinstance(body[0], ast.Expr)
