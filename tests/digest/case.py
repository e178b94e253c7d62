"""A case of the digest, and how the options of a mix are chosen."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One thing that is run and hashed."""

    network: str
    machine: str = "ahwa_lora_2026"
    strategy: str = "token_parallel"
    tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the machine, by dotted path."""
    adapters: Mapping[str, Any] | None = None
    """What differs of the adapters; {} is none of them, None leaves them as the network has them.
    """
    past: int = 0
    sequences: int = 1
    """Sequences that run together; several give no result, as they are part of a generation."""
    kind: str = "run"
    more: Mapping[str, Any] = field(default_factory=dict)
    """What other kinds than ``run`` ask; ``numerics`` of a run."""
    tables: bool = False
    """Whether all tables of the run and its trace are hashed, too."""
    slow: bool = False
    """Whether it takes seconds."""
    title: str = ""
    """How it is called; what it holds unless given."""

    @property
    def name(self) -> str:
        """The name of the case: what it holds, in a line."""
        if self.title:
            return f"{self.kind}: {self.title}"
        words = [f"{self.kind}:", self.network, self.machine, self.strategy]
        words += [f"{self.tokens} tokens"] if self.tokens else []
        words += [f"after {self.past}"] if self.past else []
        words += [f"x {self.sequences}"] if self.sequences > 1 else []
        if self.adapters is not None:
            words.append(_text(self.adapters) or "no adapters")
        words += [_text(self.options), _text(self.settings), _text(self.more)]
        return " ".join(word for word in words if word)


def _text(given: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in given.items())


def chosen(values: Sequence[Any], *why: object) -> Any:
    """Return one of some values, the same one for equal reasons."""
    found = hashlib.blake2b(repr(why).encode(), digest_size=8).digest()
    return values[int.from_bytes(found, "big") % len(values)]


def mixed(values: Mapping[str, Sequence[Any]], *why: object) -> dict[str, Any]:
    """Return a value of every option, without those that are None."""
    found = {name: chosen(each, *why, name) for name, each in values.items()}
    return {name: value for name, value in found.items() if value is not None}
