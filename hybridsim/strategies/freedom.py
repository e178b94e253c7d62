"""What a user may choose on the same machine: another strategy, or other options of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hybridsim.outside import origin_of
from hybridsim.strategies.job import Strategy

OF_LAYERS: dict[str, tuple[Any, ...]] = {
    "batch": (None,), "unit": ("best",), "order": ("best",), "clusters": ("best",),
    "early_xa": (True,), "add": ("separate",), "buffers": (3,), "prefetch_weights": (True,),
}  # fmt: skip
"""Options of the strategies for layers, and what is worth a try."""
OF_NETWORKS: dict[str, tuple[Any, ...]] = {
    "batch": ("best",), "unit": ("best",), "order": ("best",), "early_xa": (True,),
    "keep_adapters": ("best",), "share_adapters": ("best",),
}  # fmt: skip
"""Options of the strategies for networks, and what is worth a try."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A strategy by name, with the options that are not its defaults."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """What was changed on the way to it, in words."""

    @classmethod
    def of(cls, strategy: Strategy) -> "Setting":
        """Return the setting that a strategy is."""
        given = strategy.model_dump(mode="json", exclude_defaults=True)  # type: ignore[attr-defined]
        origin = origin_of(type(strategy))
        options = {key: value for key, value in given.items() if key != "kind"}
        return cls(origin.name if origin else strategy.kind, options)

    @property
    def name(self) -> str:
        """What was changed, in words."""
        return " + ".join(self.names)

    def with_options(self, options: Mapping[str, Any], name: str = "") -> "Setting":
        """Return the same strategy with some options changed."""
        names = (*self.names, name) if name else self.names
        return replace(self, options={**self.options, **options}, names=names)

    def as_arguments(self) -> str:
        """Return it as it would be given to ``hybridsim run``."""
        flat = {f"strategy.{key}": value for key, value in _flat(self.options).items()}
        told = (f"--set {path}={_text(value)}" for path, value in flat.items())
        return " ".join((f"--strategy {self.kind}", *told))


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def other_strategies(setting: Setting, family: Mapping[str, type[Any]]) -> Iterator[Setting]:
    """Yield the other strategies of a family, with the options that they leave to be chosen."""
    if setting.kind not in family:
        return
    for name, kind in family.items():
        if name != setting.kind:
            kept = {key: value for key, value in setting.options.items() if _is_open(kind, key)}
            yield Setting(name, kept, (*setting.names, f"strategy {name}"))


def other_options(
    setting: Setting, kind: type[Any], choices: Mapping[str, tuple[Any, ...]]
) -> Iterator[Setting]:
    """Yield the settings that differ in one option."""
    for key, values in choices.items():
        if not _is_open(kind, key):
            continue
        now = setting.options.get(key, kind.model_fields[key].default)
        for value in values:
            if value != now:
                yield setting.with_options({key: value}, f"{key}={_text(value)}")


def _is_open(kind: type[Any], key: str) -> bool:
    """Return whether a strategy has an option, and more than one value for it."""
    if key not in kind.model_fields:
        return False
    return len(getattr(kind.model_fields[key].annotation, "__args__", "")) != 1
