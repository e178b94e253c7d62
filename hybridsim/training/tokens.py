"""Sentences as token ids, and batches of them without padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hybridsim.errors import SpecError
from hybridsim.training.corpora import Example

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Sentences one behind the other: all linear layers work on real tokens only."""

    ids: torch.Tensor
    """Token ids, shape (all tokens,)."""
    segments: torch.Tensor
    """0, or 1 in a second sentence, shape (all tokens,)."""
    sentence: torch.Tensor
    """Index of the sentence of each token."""
    position: torch.Tensor
    """Index of each token in its sentence."""
    lengths: torch.Tensor
    """Tokens per sentence."""
    passages: torch.Tensor | None = None
    """First token of each passage and the one after its last, shape (sentences, 2)."""


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids and segments of every sentence."""

    ids: tuple[Ids, ...]
    segments: tuple[Ids, ...]
    passages: tuple[tuple[int, int], ...] = ()
    """First token of each passage and the one after its last, where answers lie in passages."""

    def batch(self, indices: Sequence[int], device: str) -> Batch:
        """Return some sentences as a batch."""
        lengths = np.array([len(self.ids[i]) for i in indices])

        def tensor(values: Ids) -> torch.Tensor:
            return torch.from_numpy(values).to(device)

        return Batch(
            ids=tensor(np.concatenate([self.ids[i] for i in indices])),
            segments=tensor(np.concatenate([self.segments[i] for i in indices])),
            sentence=tensor(np.repeat(np.arange(len(indices)), lengths)),
            position=tensor(np.concatenate([np.arange(n) for n in lengths])),
            lengths=tensor(lengths),
            passages=tensor(np.array([self.passages[i] for i in indices], np.int64))
            if self.passages
            else None,
        )

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield indices of sentences of similar length, ``size`` at a time."""
        order = np.argsort([len(ids) for ids in self.ids], kind="stable").tolist()
        for first in range(0, len(order), size):
            yield order[first : first + size]


def tokenize(folder: Path, examples: Sequence[Example], most: int) -> TokenizedText:
    """Return sentences as the tokenizer of a model folder cuts them, ``most`` tokens at most.

    Raises:
        SpecError: The folder's tokenizer.json cannot be read.
    """
    tokenizer = tokenizer_of(folder)
    tokenizer.enable_truncation(max_length=most)
    texts = [e.text if e.pair is None else (e.text, e.pair) for e in examples]
    encoded = tokenizer.encode_batch(texts)
    return TokenizedText(
        tuple(np.array(e.ids, np.int64) for e in encoded),
        tuple(np.array(e.type_ids, np.int64) for e in encoded),
    )


def tokenizer_of(folder: Path) -> Tokenizer:
    """Return the tokenizer of a model folder, which neither pads nor cuts.

    Raises:
        SpecError: The folder's tokenizer.json cannot be read.
    """
    file = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise SpecError(str(file), "", f"cannot be read as a tokenizer: {error}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
