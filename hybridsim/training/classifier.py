"""An encoder with a head: what is trained, what from, and where its layers compute.

The head gives classes, the places where an answer begins and ends, or a rating.
"""

import torch
from torch import nn
from torch.nn import functional

from hybridsim.errors import UnknownNameError
from hybridsim.training.encoder import Encoder
from hybridsim.training.linear import OnTiles, StaticLinear
from hybridsim.training.spans import MOST_OF_ANSWER
from hybridsim.training.study import Lora
from hybridsim.training.tokens import Batch

NO_TOKEN = -1e4
"""Score of places where a sentence has ended."""
TEMPERATURE = 2.0
"""Of distillation; assumed."""


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

    def found(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the answer to every sentence: its class, shape (sentences,)."""
        return logits.argmax(dim=1)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of labels, a number."""
        return functional.cross_entropy(logits, labels.flatten())

    def distance(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return how far logits are from a teacher's, a number: T^2 KL(teacher || student).

        Logits are divided by T = 2. Source: Hinton et al., 2015.
        """
        target, found = (functional.log_softmax(z / TEMPERATURE, dim=1) for z in (wanted, logits))
        compared = functional.kl_div(found, target, reduction="batchmean", log_target=True)
        return TEMPERATURE**2 * compared

    def agreement(self, logits: torch.Tensor, labels: torch.Tensor) -> float:
        """Return the share of labels that logits like most."""
        return float((logits.argmax(dim=1) == labels.flatten()).float().mean())

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
        """Freeze all but adapters, head, and input ranges that are learned."""
        for name, parameter in self.named_parameters():
            own = ".adapter." in name or name.endswith(".learned_range")
            parameter.requires_grad_(own or name.startswith("head."))

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

    def found(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return of every window the likeliest first and last token of its passage, the sum of
        their scores, and that of the first token of all, shape (windows, 4)."""
        assert batch.passages is not None
        begin, end = logits.unflatten(0, (-1, 2)).unbind(dim=1)
        place = torch.arange(begin.shape[1], device=begin.device)
        first, stop = batch.passages.unbind(dim=1)
        outside = (place < first[:, None]) | (place >= stop[:, None])
        starts, ends = (s.masked_fill(outside, 2 * NO_TOKEN) for s in (begin, end))
        reach = place[None, :] - place[:, None]
        no_span = (reach < 0) | (reach >= MOST_OF_ANSWER)
        both = (starts[:, :, None] + ends[:, None, :]).masked_fill(no_span, 8 * NO_TOKEN)
        score, best = both.flatten(1).max(dim=1)
        at = best // begin.shape[1], best % begin.shape[1]
        return torch.stack([*at, score, begin[:, 0] + end[:, 0]], dim=1)


class Rater(Classifier):
    """A number for every sentence; the head learns it in deviations from the mean."""

    def __init__(self, encoder: Encoder, mean: float, deviation: float) -> None:
        """Take the mean and the standard deviation of the ratings to learn from."""
        super().__init__(encoder, 1)
        self.mean, self.deviation = mean, deviation

    def found(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the rating of every sentence, shape (sentences,)."""
        return logits[:, 0].double() * self.deviation + self.mean

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean square of what is wrong, in deviations."""
        return (logits[:, 0] - self._in_deviations(labels)).square().mean()

    def distance(self, logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return the mean square of how far ratings are from a teacher's, in deviations."""
        return (logits - wanted).square().mean()

    def agreement(self, logits: torch.Tensor, labels: torch.Tensor) -> float:
        """Return the share of the scatter of labels that is explained, at least 0."""
        wanted = self._in_deviations(labels)
        scatter = (wanted - wanted.mean()).square().mean()
        left = (logits[:, 0].detach() - wanted).square().mean()
        return max(0.0, 1 - float(left / scatter)) if scatter > 0 else 0.0

    def _in_deviations(self, labels: torch.Tensor) -> torch.Tensor:
        return ((labels - self.mean) / self.deviation).float()


def _matches(name: str, target: str) -> bool:
    return name.split(".", 3)[3] == target or name.split(".", 3)[3].endswith("." + target)
