"""Mutants of the spool: each fsync, each rename and each check taken out, one at a time.

A mutant is a number. `install(number)` makes that one change in the functions of this process; nothing on disk is
touched, and processes that it starts anew run the spool as it is.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TypeGuard

SPOOL = Path(__file__).parents[2] / "spool"
MODULES = (
    *("draft", "durable", "filesystem", "lock", "spool", "status", "job"),
    *("trouble", "ballast", "idempotency", "callbacks", "keys"),
    *("reader", "priority", "pause", "writeback"),
)
"""The files whose loss would break a promise. Not `tally` and `board`: they are news, nothing is decided by them;
nor what only names, reads, draws or confines (`export`, `view`, `picture`, `confine`, ...); nor `line`, which says
what to try first: a claim tries until nothing is left."""
_SYNCS = ("fsync", "settle")
_RENAMES = ("rename", "move", "replace", "replace_json")
_LASTS = ("durable", "durable_too")


@dataclass(frozen=True)
class Mutant:
    """One change to one line of one module."""

    module: str
    line: int
    column: int
    what: str
    function: str = ""

    def __str__(self) -> str:
        return f"spool/{self.module}.py:{self.line} {self.function}: {self.what}"

    @property
    def name(self) -> str:
        """What it is called where line numbers must not count."""
        return f"{self.module}.{self.function}: {self.what}"


def mutants() -> list[Mutant]:
    """Every mutant, in the order of the source."""
    found = []
    for module in MODULES:
        tree = ast.parse((SPOOL / f"{module}.py").read_text())
        spans = [
            (node.lineno, node.end_lineno or 0, node.name) for node in ast.walk(tree) if _is_function(node)
        ]
        for node, what in _places(tree):
            around = [name for first, last, name in spans if first <= node.lineno <= last]
            found.append(Mutant(module, node.lineno, node.col_offset, what, around[-1]))
    return found


def _is_function(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)


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


def install(number: int) -> Mutant:
    """Let every function of that module do in this process what it does in the mutant."""
    mutant = mutants()[number]
    module = importlib.import_module(f"spool.{mutant.module}")
    codes = dict(_codes(compile(source_of(mutant), str(SPOOL / f"{mutant.module}.py"), "exec")))
    for name, function in _functions(module):
        function.__code__ = codes[name]
    return mutant


def _codes(code: CodeType, prefix: str = "") -> Iterator[tuple[str, CodeType]]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield prefix + part.co_name, part
            if not prefix:
                yield from _codes(part, f"{part.co_name}.")


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that the source of `module` defines, out of their wrappings, by qualified name."""
    for holder in (module, *(value for value in vars(module).values() if isinstance(value, type))):
        for value in list(vars(holder).values()):
            inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
            inner = getattr(inner, "__wrapped__", inner)
            own = isinstance(inner, FunctionType) and inner.__module__ == module.__name__
            if own and inner.__code__.co_filename == module.__file__:  # not what dataclasses makes
                yield inner.__qualname__, inner


def lines_of(mutant: Mutant) -> set[int]:
    """The lines of the statement that it changes: without running one of them no test can notice."""
    spans = [{mutant.line}]
    for node in ast.walk(ast.parse((SPOOL / f"{mutant.module}.py").read_text())):
        if isinstance(node, ast.Assign | ast.Return | ast.Expr | ast.Raise | ast.AnnAssign):
            span = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            spans += [span] if mutant.line in span else []
    return set.union(*spans)
