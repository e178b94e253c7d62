"""A config.json, read key by key: each checked when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, Field, create_model

from hybridsim.errors import SpecError
from hybridsim.specs import shown, validate
from hybridsim.units import Spec
from hybridsim.workload.ops import Features, Flag

ABOUT = {
    "size": "Length of a token's vector between blocks [elements].",
    "inner": "Length of the vector inside a feed-forward network [elements].",
    "layers": "Transformer blocks.",
    "heads": "Heads of every attention.",
    "head_dim": "Elements of one head.",
    "words": "Length of a row of the word embedding [elements].",
    "vocab": "Rows of the word embedding.",
    "rows": "Rows of the position embedding, which is the most tokens of a sequence.",
    "act": "Activation of the feed-forward networks.",
}
"""What a message says of a key that is missing, by what it is read as."""


class _Key(Spec):
    """One key of a config.json; the others are left unread."""

    model_config = ConfigDict(extra="ignore")


@lru_cache(maxsize=512)
def _reader(key: str, kind: Any, about: str) -> type[_Key]:
    name = key.lstrip("_")  # no name of a field begins so
    described = Field(description=about, alias=None if name == key else key)
    # mypy cannot follow a model whose fields are data
    return create_model(  # type: ignore[call-overload,no-any-return]
        "Key", __base__=_Key, **{name: (kind, described)}
    )


class Config:
    """The keys of a config.json, with what its family takes where one is missing.

    Raises, from every method: SpecError where a key is missing, has a value of no use, or says
    another thing than one that means the same.
    """

    def __init__(
        self, data: Mapping[str, Any], file: str, defaults: Mapping[str, Any], place: str = ""
    ) -> None:
        self._data, self.file, self._defaults, self._place = data, file, defaults, place
        self.root = self
        """The whole config, of which this may be the part of one stack."""

    def section(self, name: str) -> "Config":
        """Return the part of the config that describes one stack."""
        if not name:
            return self
        part = self._data.get(name, {})
        if not isinstance(part, Mapping):
            raise self.problem(name, f"found {shown(part)}; a mapping would do")
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in self._defaults.items()
            if key.startswith(f"{name}.")
        }
        found = Config(part, self.file, own, f"{self._place}{name}.")
        found.root = self.root
        return found

    def problem(self, key: str, text: str) -> SpecError:
        """Return what to raise for a key."""
        return SpecError(self.file, f"{self._place}{key}", text)

    def has(self, key: str) -> bool:
        """Return whether the config says something under a key."""
        return self._data.get(key) is not None

    def get(self, key: str) -> Any:
        """Return what stands under a key, unchecked, or the default of the family, or None."""
        found = self._data.get(key)
        return self._defaults.get(key) if found is None else found

    def key(self, keys: str) -> str:
        """Return the one of ``a|b`` that is there, or the first; refuse two that differ."""
        names = keys.split("|")
        there = [name for name in names if self.has(name)]
        for name in there[1:]:
            if self._data[name] != self._data[there[0]]:
                found, other = shown(self._data[name]), shown(self._data[there[0]])
                raise self.problem(name, f"found {found}; the {other} of {there[0]} would do")
        return (there or [name for name in names if name in self._data] or names)[0]

    def read(self, value: Any, kind: Any, about: str = "") -> Any:
        """Return a value of a description: itself, or what the config says under its key."""
        if callable(value):
            return value(self)
        if not isinstance(value, str):
            return value
        key = self.key(value)
        data = self._data
        if key not in data:
            known = [name for name in value.split("|") if name in self._defaults]
            if known:
                data = {key: self._defaults[known[0]]}
        spec = validate(_reader(key, kind, about), dict(data), self.file, self._place.rstrip("."))
        return getattr(spec, key.lstrip("_"))

    def size(self, value: Any, what: str = "") -> int:
        """Return a number of elements, layers or heads."""
        found: int = self.read(value, Features, ABOUT.get(what, what))
        return found

    def size_or(self, value: Any, other: int, what: str = "") -> int:
        """Return a number, or another one where the config says none."""
        if isinstance(value, str) and self.get(self.key(value)) is None:
            return other
        return other if value is None else self.size(value, what)

    def flag(self, value: Any, otherwise: bool = False) -> bool:
        """Return whether something is so; what no key nor default says is ``otherwise``."""
        if isinstance(value, str) and self.get(self.key(value)) is None:
            return otherwise
        return bool(self.read(value, Flag))

    def numbers(self, key: str, count: int | None = None) -> list[int]:
        """Return a list of whole numbers, of so many if that is given."""
        found: tuple[int, ...] = self.read(key, tuple[Features, ...])
        if count is not None and len(found) != count:
            raise self.problem(key, f"found {len(found)} numbers; {count} would do")
        return list(found)

    def each(self, key: str, count: int) -> Sequence[Any] | None:
        """Return what a list says of each block; None if there is none."""
        found = self.get(key)
        if found is None:
            return None
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise self.problem(key, f"found {shown(found)}; a list would do")
        if len(found) < count:
            raise self.problem(
                key, f"found {len(found)} entries; the {count} blocks need one each"
            )
        return found

    def pair(self, key: str) -> tuple[int, int]:
        """Return height and width: one number for both, or a list of two."""
        found = self.get(key)
        if isinstance(found, Sequence) and not isinstance(found, str) and len(found) == 2:
            high, wide = self.numbers(key, 2)
            return high, wide
        both = self.size(key, "Height and width [pixels].")
        return both, both


def divided(config: Config, size: int, parts: int, key: Any) -> int:
    """Return ``size`` over ``parts``, of which ``key`` says how many there are.

    Raises:
        SpecError: ``parts`` does not divide it.
    """
    if size % parts:
        name = config.key(key) if isinstance(key, str) else "heads"
        raise config.problem(name, f"found {parts}; a number that divides {size} would do")
    return size // parts


Choice = Callable[[Config], Any]
