"""Keys and values that a decoder keeps of the tokens it has read, so that none is read twice.

Whoever reads on from a past computes the products of the new tokens alone; logits are those of a
pass over all tokens. Gradients flow back into what was kept, so that training may read a prompt
once for all its answers.
"""

from dataclasses import dataclass, field

import torch


@dataclass(slots=True)
class Past:
    """What every block has kept so far: nothing at the start."""

    keys: list[torch.Tensor] = field(default_factory=list)
    """Turned by their positions, per block (sequences, key heads, tokens, head)."""
    values: list[torch.Tensor] = field(default_factory=list)
    """Per block, shaped as the keys."""

    @property
    def tokens(self) -> int:
        """The tokens of each sequence that were read."""
        return self.keys[0].shape[2] if self.keys else 0

    def grown(
        self, block: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep keys and values of new tokens in a block; return those of all tokens."""
        if block == len(self.keys):
            self.keys.append(key)
            self.values.append(value)
        else:
            self.keys[block] = torch.cat([self.keys[block], key], dim=2)
            self.values[block] = torch.cat([self.values[block], value], dim=2)
        return self.keys[block], self.values[block]

    def repeated(self, times: int) -> "Past":
        """Return a past in which every sequence stands so many times in a row.

        Reading on from it leaves this one as it is.
        """
        return Past(
            [each.repeat_interleave(times, dim=0) for each in self.keys],
            [each.repeat_interleave(times, dim=0) for each in self.values],
        )


def seen(new: int, every: int, device: torch.device) -> torch.Tensor:
    """Return which of all tokens the last ``new`` ones see, shape (new, every): none after
    itself."""
    return torch.ones((new, every), dtype=torch.bool, device=device).tril(every - new)
