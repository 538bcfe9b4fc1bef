"""Mutants of the spool: each fsync, each rename and each check taken out, one at a time.

A mutant is a number. `install(number)` makes this process import the spool with that one change; nothing on disk is
touched.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

SPOOL = Path(__file__).parents[2] / "spool"
MODULES = ("draft", "durable", "filesystem", "lock", "spool", "status", "job")
_SYNCS = ("fsync",)
_RENAMES = ("rename", "move", "replace", "replace_json")
_LASTS = ("durable", "durable_too")


@dataclass(frozen=True)
class Mutant:
    """One change to one line of one module."""

    module: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"spool/{self.module}.py:{self.line} {self.what}"


def mutants() -> list[Mutant]:
    """Every mutant, in the order of the source."""
    found = []
    for module in MODULES:
        tree = ast.parse((SPOOL / f"{module}.py").read_text())
        found += [Mutant(module, node.lineno, node.col_offset, what) for node, what in _places(tree)]
    return found


def _places(tree: ast.AST) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = _name(node.value)
            if name in (*_SYNCS, *_RENAMES):
                yield node, f"without `{ast.unparse(node)}`"
        if isinstance(node, ast.If | ast.IfExp):
            yield node, f"never `{ast.unparse(node.test)}`"
            yield node, f"always `{ast.unparse(node.test)}`"
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in _LASTS and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                    yield node, f"not {keyword.arg} in `{ast.unparse(node)}`"
        if isinstance(node, ast.ExceptHandler) and not any(isinstance(part, ast.Raise) for part in node.body):
            # Not catching what is caught: a check of a return code taken out.
            yield node.body[0], f"raising in `except {ast.unparse(node.type) if node.type else ''}`"


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


class _Change(ast.NodeTransformer):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self.done = 0

    def visit(self, node: ast.AST) -> ast.AST:
        here = (getattr(node, "lineno", 0), getattr(node, "col_offset", -1))
        if here == (self._mutant.line, self._mutant.column):
            changed = self._changed(node)
            if changed is not node:
                self.done += 1
                return ast.fix_missing_locations(ast.copy_location(changed, node))
        return self.generic_visit(node)

    def _changed(self, node: ast.AST) -> ast.AST:
        kind, _, rest = self._mutant.what.partition(" ")
        if kind == "without" and isinstance(node, ast.Expr):
            return ast.Pass()
        if kind in ("never", "always") and isinstance(node, ast.If | ast.IfExp):
            node.test = ast.Constant(kind == "always")
            self.done += 1
        if kind == "raising" and isinstance(node, ast.stmt):
            return ast.Raise()
        if kind == "not" and isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == rest.partition(" ")[0]:
                    keyword.value = ast.Constant(False)
                    self.done += 1
        return node


def source_of(mutant: Mutant) -> ast.Module:
    """The changed module. Raises AssertionError where the mutant is not in it."""
    tree = ast.parse((SPOOL / f"{mutant.module}.py").read_text())
    change = _Change(mutant)
    changed = change.visit(tree)
    assert change.done == 1, f"{mutant}: changed {change.done} places"
    assert isinstance(changed, ast.Module)
    return ast.fix_missing_locations(changed)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, mutant: Mutant) -> None:
        self._name = f"spool.{mutant.module}"
        self._tree = source_of(mutant)
        self._file = str(SPOOL / f"{mutant.module}.py")

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self, origin=self._file) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._file
        exec(compile(self._tree, self._file, "exec"), module.__dict__)


def install(number: int) -> Mutant:
    """Let this process, which has not imported the spool yet, run that mutant."""
    assert not any(name == "spool" or name.startswith("spool.") for name in sys.modules)
    mutant = mutants()[number]
    sys.meta_path.insert(0, _Finder(mutant))
    return mutant
