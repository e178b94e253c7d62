"""Models whose fields are described by the docstrings below them, read when somebody asks.

Pydantic reads them when a class is made (``use_attribute_docstrings``), and for that reads every
source once more: a third of what importing all models took. Most runs ask for none.
"""

import ast
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo


def bare_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by name without asking for descriptions: no source is read."""
    fields: dict[str, FieldInfo] = model.__dict__.get("__pydantic_fields__", {})
    return fields


class _Fields:
    """The fields of a model by name, with their descriptions."""

    def __get__(self, instance: Any, owner: type[BaseModel]) -> dict[str, FieldInfo]:
        fields = bare_fields(owner)
        for name, text in field_docstrings(owner).items():
            if name in fields and fields[name].description is None:
                fields[name].description = text
        return fields


class Described(BaseModel):
    """Base of models that do not change, take no other key, and are described by docstrings.

    A model is checked for and turned into a validator when it is first used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    if not TYPE_CHECKING:
        model_fields: ClassVar[dict[str, FieldInfo]] = _Fields()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docstrings(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema


@cache
def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return field -> the docstring below it, of a model and what it inherits.

    A field that is annotated again has the docstring that stands there, or none. Where there is
    no source there are none.
    """
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if kind.__module__.partition(".")[0] not in ("pydantic", "builtins"):
            own = _of_file(kind.__module__).get(kind.__qualname__, {})
            found = {name: text for name, text in (found | own).items() if text}
    return found


@cache
def _of_file(module: str) -> dict[str, dict[str, str]]:
    """Return class -> annotated name -> its docstring, empty if there is none, of a module."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        tree = ast.parse(Path(file or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, dict[str, str]] = {}
    left: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
    while left:
        above, node = left.pop()
        if isinstance(node, ast.ClassDef):
            found[above + node.name] = _of_class(node)
            left += [(f"{above}{node.name}.", inner) for inner in node.body]
        elif isinstance(node, ast.FunctionDef):
            left += [(f"{above}{node.name}.<locals>.", inner) for inner in node.body]
    return found


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    found: dict[str, str] = {}
    for statement, below in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = ""
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                text = below.value.value if isinstance(below.value.value, str) else ""
            found[statement.target.id] = inspect.cleandoc(text)
    return found
