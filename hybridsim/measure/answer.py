"""What all answers have in common: they do not change, and read back from their own JSON.

Answers that earlier releases wrote are read as well. A document of the command line has two of its
keys under the names of the first release beside those of today, as scripts of others read them:
``scheduler`` for ``strategy`` and ``all_analog_ps`` for ``yardstick_ps``. They are deprecated.
"""

from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hybridsim._old_names import ANSWERS, renamed, with_old_keys


class Answer(BaseModel):
    """Base of what is reported, and of its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _by_names_of_today(cls, given: Any) -> Any:
        return renamed(given, ANSWERS)


class Document(Answer):
    """Base of what is reported as one document."""

    left_out: ClassVar[tuple[str, ...]] = ()
    """Fields that are left out where they are empty."""

    def to_json(self) -> str:
        """Return one JSON document that :meth:`from_json` reads back."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            pydantic.ValidationError: The text is no such document.
        """
        return cls.model_validate_json(text)

    @model_validator(mode="before")
    @classmethod
    def _inputs_by_names_of_today(cls, given: Any) -> Any:
        if isinstance(given, dict) and "inputs" in given:
            return given | {"inputs": renamed(given["inputs"], ANSWERS)}
        return given

    @model_serializer(mode="wrap")
    def _document(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        absent = {name for name in self.left_out if not getattr(self, name)}
        document = {key: value for key, value in document.items() if key not in absent}
        return with_old_keys(document) if info.mode == "json" else document
