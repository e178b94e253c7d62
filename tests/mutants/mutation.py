"""Mutants of a module: each differs from it in one small thing that a programmer gets wrong."""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

COMPARES: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil_div": "max"}
METHODS = {
    "min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum",
    "maximum": "minimum", "argmin": "argmax", "argmax": "argmin",
}  # fmt: skip
"""What is called, and what is called instead."""


@dataclass(frozen=True)
class Mutant:
    """One change: where it is, and what it is, in words."""

    line: int
    number: int
    """Which of all changes of the module it is."""
    what: str


class _Changes(ast.NodeVisitor):
    """Goes through a module and lists every change as a function that makes it in place."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str, Callable[[], None]]] = []

    def _add(self, node: ast.AST, what: str, change: Callable[[], None]) -> None:
        self.found.append((getattr(node, "lineno", 0), what, change))

    def _set(self, node: ast.AST, of: ast.AST, field: str, value: Any, what: str) -> None:
        self._add(node, what, lambda: setattr(of, field, value))

    # annotations, decorators, messages and texts are no arithmetic
    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._body(node)

    def visit_Module(self, node: ast.Module) -> None:
        self._body(node)

    def _body(self, node: Any) -> None:
        for statement in node.body:
            text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not text and not isinstance(statement, ast.Raise):
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave what is raised as it is."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave what is asserted for the type checker as it is."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts as they are."""

    def visit_Compare(self, node: ast.Compare) -> None:
        for at, op in enumerate(node.ops):
            for other in COMPARES[type(op)]:
                changed = [*node.ops]
                changed[at] = other()
                what = f"{type(op).__name__} -> {other.__name__}"
                self._set(node, node, "ops", changed, what)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = OPERATORS.get(type(node.op))
        if other is not None and not isinstance(node.left, ast.JoinedStr):
            what = f"{type(node.op).__name__} -> {other.__name__}"
            self._set(node, node, "op", other(), what)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        other = OPERATORS.get(type(node.op))
        if other is not None:
            what = f"{type(node.op).__name__}= -> {other.__name__}="
            self._set(node, node, "op", other(), what)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        what = f"{type(node.op).__name__} -> {type(other).__name__}"
        self._set(node, node, "op", other, what)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._set(node, node, "value", not node.value, f"{node.value} -> {not node.value}")
        elif isinstance(node.value, int):
            self._set(node, node, "value", node.value + 1, f"{node.value} -> {node.value + 1}")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in NAMES and isinstance(node.ctx, ast.Load):
            self._set(node, node, "id", NAMES[node.id], f"{node.id} -> {NAMES[node.id]}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in METHODS:
            what = f".{node.attr} -> .{METHODS[node.attr]}"
            self._set(node, node, "attr", METHODS[node.attr], what)
        self.generic_visit(node)

    def _negated(self, node: ast.If | ast.IfExp | ast.While) -> None:
        if not isinstance(node.test, ast.Compare):  # a comparison is changed itself
            opposite = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            self._set(node, node, "test", opposite, "condition negated")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self._negated(node)

    visit_IfExp = _negated  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            nothing = ast.copy_location(ast.Constant(None), node.value)
            self._set(node, node, "value", nothing, "call dropped")
        self.generic_visit(node)


def _changes(tree: ast.Module) -> list[tuple[int, str, Callable[[], None]]]:
    changes = _Changes()
    changes.visit(tree)
    return changes.found


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield all mutants of a module."""
    for number, (line, what, _) in enumerate(_changes(ast.parse(source))):
        yield Mutant(line, number, what)


def mutated(source: str, number: int) -> ast.Module:
    """Return a module with one change made; lines stay where they are."""
    tree = copy.deepcopy(ast.parse(source))
    _changes(tree)[number][2]()
    return ast.fix_missing_locations(tree)
