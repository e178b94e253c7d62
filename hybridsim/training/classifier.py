"""An encoder with a head for classes: what is trained, and where its layers compute."""

import torch
from torch import nn

from hybridsim.errors import UnknownNameError
from hybridsim.training.encoder import Encoder
from hybridsim.training.linear import OnTiles, StaticLinear
from hybridsim.training.study import Lora
from hybridsim.training.tokens import Batch

NO_TOKEN = -1e4
"""Score of places where a sentence has ended."""


class Classifier(OnTiles):
    """Logits of every class for every sentence; the head is digital."""

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config["hidden_size"], classes)
        nn.init.zeros_(self.head.weight)  # so that no seed is needed
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return logits, shape (sentences, classes)."""
        return self.logits(self.encoder.hidden(batch), batch)

    def logits(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return logits from the last vector of every token."""
        return self.head(self.encoder.pooled(hidden, batch))

    def found(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the answer to every sentence: its class."""
        return logits.argmax(dim=1)

    def static_layers(self) -> dict[str, StaticLinear]:
        """Return the layers that go onto tiles, by the names of Hugging Face, in order."""
        return self.encoder.static_layers()

    def add_adapters(self, lora: Lora, seed: int) -> None:
        """Put a new adapter on every layer whose name ends with one of the targets.

        Raises:
            UnknownNameError: A target is the end of no layer's name.
        """
        layers = self.static_layers()
        for target in lora.targets:
            if not any(_matches(name, target) for name in layers):
                ends = {name.split(".", 3)[3] for name in layers}
                raise UnknownNameError("lora.targets: layer", target, ends)
        for name, layer in layers.items():
            if any(_matches(name, target) for target in lora.targets):
                self.new_adapter(name, layer, lora, seed)

    def train_adapters(self) -> None:
        """Freeze all but adapters and head."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(".adapter." in name or name.startswith("head."))

    def train_all(self) -> None:
        """Freeze embeddings only."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(not name.startswith("encoder.embeddings."))

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that training changes, by name, sorted."""
        return {n: p for n, p in sorted(self.named_parameters()) if p.requires_grad}


class SpanReader(Classifier):
    """Where the answer in a passage begins and ends: two scores for every token."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder, 2)

    def logits(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return scores of begin and end, shape (2 x sentences, tokens of the longest)."""
        scores = self.head(hidden)
        longest = int(batch.lengths.max())
        # far below any score, but finite: distillation takes differences
        table = scores.new_full((len(batch.lengths), longest, 2), NO_TOKEN)
        table[batch.sentence, batch.position] = scores
        return table.transpose(1, 2).flatten(0, 1)

    def found(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the likeliest first and last token, the last not before the first."""
        begin, end = logits.unflatten(0, (-1, 2)).unbind(dim=1)
        both = begin[:, :, None] + end[:, None, :]
        before = torch.ones_like(both[0], dtype=torch.bool).tril(-1)
        best = both.masked_fill(before, 4 * NO_TOKEN).flatten(1).argmax(dim=1)
        return torch.stack([best // begin.shape[1], best % begin.shape[1]], dim=1)


def _matches(name: str, target: str) -> bool:
    return name.split(".", 3)[3] == target or name.split(".", 3)[3].endswith("." + target)
