"""A machine file that extends another one by estimates."""

from collections.abc import Iterable
from typing import Any

import yaml

from hybridsim.estimates.asked import Answer


def as_yaml(answers: Iterable[Answer], extends: str, named: str) -> str:
    """Return the file of a machine that is another one with these numbers, sources behind them.

    Args:
        answers: The numbers.
        extends: What the file calls the other machine.
        named: The name of the new one.
    """
    groups: dict[str, Any] = {}
    for answer in answers:
        *above, key = answer.path.split(".")
        group = groups
        for each in above:
            group = group.setdefault(each, {})
        group[key] = answer
    head = [
        f"extends: {_scalar(extends)}",
        f"name: {_scalar(named)}",
        f"description: {_scalar(f'{extends} with estimates where it has no numbers')}",
    ]
    return "\n".join([*head, *_lines(groups, "")]) + "\n"


def _lines(groups: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, inside in groups.items():
        if isinstance(inside, Answer):
            lines.append(f"{indent}{key}: {inside.value}  # {inside.source}")
        else:
            lines += [f"{indent}{key}:", *_lines(inside, f"{indent}  ")]
    return lines


def _scalar(value: str) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
