"""Keys and values of the beginnings of prompts, kept for later requests that begin alike."""

from array import array
from collections import OrderedDict


class Prefixes:
    """Blocks of prompts whose keys and values are kept; the one used longest ago leaves first.

    A block is told by a number that stands for it and all before it, as in published traces. Kept
    blocks have what sequences at work leave of ``room`` [bytes], which is None where there is no
    limit. A sequence at work has its own copy of what it reuses.
    """

    def __init__(self, block: int, block_bytes: int, room: int | None) -> None:
        self.block = block
        self._bytes, self._room = block_bytes, room
        self._kept: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def reused(self, blocks: "array[int]", prompt: int) -> int:
        """Return how many tokens of a prompt are there already; the last one never is.

        A pass needs a token to compute.
        """
        count = 0
        for number in blocks:
            if number not in self._kept:
                break
            self._kept.move_to_end(number)
            count += 1
        return min(count * self.block, prompt - 1)

    def keep(self, blocks: "array[int]", prompt: int, taken: int) -> None:
        """Keep the full blocks of a prompt, where sequences at work take ``taken`` bytes."""
        for number in blocks[: prompt // self.block]:
            self._kept[number] = None
            self._kept.move_to_end(number)
        self.leave_room(taken)

    def leave_room(self, taken: int) -> None:
        """Let blocks go until sequences at work have ``taken`` bytes."""
        if self._room is None:
            return
        most = max(0, self._room - taken) // self._bytes
        while len(self._kept) > most:
            self._kept.popitem(last=False)
