"""Strategies from outside of the package answer with decisions, or in one sentence."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from pydantic import ValidationError

from hybridsim.errors import HybridsimError, SpecError
from hybridsim.outside import failed_at, in_words
from hybridsim.specs import first_problem, shown
from hybridsim.strategies.layers import LayerStrategy
from hybridsim.units import Spec


def check_decisions(kind: type[Spec], name: str) -> None:
    """Let ``decide`` of a class from outside raise what is wrong with it as a SpecError.

    So a sweep keeps it as the problem of a point, whichever process decides.
    """
    decide: Callable[..., object] = kind.decide  # type: ignore[attr-defined]
    if hasattr(decide, "checked") or decide.__module__.startswith("hybridsim."):
        return
    wanted = f"{'Layer' if issubclass(kind, LayerStrategy) else 'Network'}Decisions would do"

    @wraps(decide)
    def checked(self: Any, job: Any) -> object:
        try:
            found = decide(self, job)
        except HybridsimError:
            raise
        except ValidationError as error:  # options that it gives to another strategy
            place, problem = first_problem(error)
            raise SpecError(name, place, f"{problem} ({error.title}{_line(error)})") from error
        except Exception as error:  # whatever the code of others raises
            problem = f"decide fails ({in_words(error)}{_line(error)}); {wanted}"
            raise SpecError(name, "", problem) from error
        if not callable(getattr(found, "lay_out", None)):
            raise SpecError(name, "", f"decide returned {shown(found)}; {wanted}")
        return found

    checked.checked = True  # type: ignore[attr-defined]
    kind.decide = checked  # type: ignore[attr-defined]


def _line(error: Exception) -> str:
    """Return where the code of others failed, if it was in it that it failed."""
    found = failed_at(error)
    return f", at {found[1]}" if found else ""
