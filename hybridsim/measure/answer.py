"""What all answers have in common: they do not change, and read back from their own JSON.

Answers that earlier releases wrote are read as well. A document of the command line has two of its
keys under the names of the first release beside those of today, as scripts of others read them:
``scheduler`` for ``strategy`` and ``all_analog_ps`` for ``yardstick_ps``. They are deprecated.

Every document says the version of its format. One without was written before there were any, and
is read; one of a later version than this release knows is refused.
"""

from typing import Any, ClassVar, Self

from pydantic import (
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hybridsim._old_names import ANSWERS, renamed, with_old_keys
from hybridsim.described import Described
from hybridsim.errors import SpecError

FORMAT_VERSION = 2
"""The version of the format of documents; those that say none are of version 1. It rises where a
document can no longer be read by a release that knows the version before."""


class Answer(Described):
    """Base of what is reported, and of its parts."""

    @model_validator(mode="before")
    @classmethod
    def _by_names_of_today(cls, given: Any) -> Any:
        return renamed(given, ANSWERS)


_EMPTY: tuple[Any, ...] = (None, "", (), [], {})


class Sparse(Answer):
    """Base of answers of which some fields are left out where they are empty, or as usual."""

    left_out: ClassVar[tuple[str, ...]] = ()
    """Fields that are left out where they are empty, or have their default."""

    @model_serializer(mode="wrap")
    def _document(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        return self._without_empty(handler(self))

    def _without_empty(self, fields: dict[str, Any]) -> dict[str, Any]:
        usual = {name: type(self).model_fields[name].default for name in self.left_out}
        absent = {name for name in usual if getattr(self, name) in (usual[name], *_EMPTY)}
        return {key: value for key, value in fields.items() if key not in absent}


class Document(Sparse):
    """Base of what is reported as one document."""

    def to_json(self) -> str:
        """Return one JSON document that :meth:`from_json` reads back."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            pydantic.ValidationError: The text is no such document.
            SpecError: It is of a later format than this release knows.
        """
        return cls.model_validate_json(text)

    @model_validator(mode="before")
    @classmethod
    def _of_a_known_version(cls, given: Any) -> Any:
        if isinstance(given, dict) and "format_version" in given:
            given = dict(given)
            _check_version(given.pop("format_version"))
        if isinstance(given, dict) and "inputs" in given:
            return given | {"inputs": renamed(given["inputs"], ANSWERS)}
        return given

    @model_serializer(mode="wrap")
    def _document(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        document = self._without_empty(handler(self))
        if info.mode != "json":
            return document
        return {"format_version": FORMAT_VERSION, **with_old_keys(document)}


def _check_version(found: object) -> None:
    """Refuse a version that this release does not know.

    Raises:
        SpecError: It is from the future, or no version.
    """
    if type(found) is not int or not 1 <= found <= FORMAT_VERSION:
        raise SpecError(
            "",
            "format_version",
            f"found {found!r:.40}; this release reads versions 1 to {FORMAT_VERSION}, so one that "
            "is as new as the document would do",
        )
