"""Classes of fields that are set once: type checkers see to that, and nothing at run time.

``dataclass(frozen=True)`` refuses at run time as well. For that Python writes two more methods per
class, and sets each field by a call. Of some 150 classes that the first command defines, and
objects that it makes by the ten thousand, that was a tenth of its time.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, eq: bool = True, slots: bool = False) -> Any:
        """Return a decorator that makes what ``dataclass`` would, but for refusing."""
        assert frozen  # a class whose fields are set again is a plain dataclass

        def made(cls: type) -> type:
            found = dataclass(repr=False, eq=eq, unsafe_hash=eq, slots=slots)(cls)
            if "__repr__" not in vars(cls):
                found.__repr__ = _shown
            return found

        return made


def _shown(self: Any) -> str:
    """Return what ``dataclass`` would show of an object; one method for all classes."""
    own = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(own)})"
