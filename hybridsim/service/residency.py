"""Which adapters lie in the on-chip store, and what has to be fetched when a task comes up.

Adapters of a task are in one of three *tiers*: in the scratchpads of the clusters (``tcdm``), if
there is room for those of all tasks beside what the work needs, and then nothing is ever swapped;
in the on-chip store (``sram``); or, if those of one task alone exceed the store, in part in the
external memory (``dram``), from where the run itself brings that part, layer by layer.

The store holds whole adapters, those of all layers of a task. What is not there is fetched from
external memory. Which one makes room is the *policy*:

``lru``
    the one that was used least recently leaves.
``pinned``
    the adapters that come first fill the store and stay; the others are fetched every time, into
    a place of their own.
``none``
    nothing is kept but the adapter that works now.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Literal

from hybridsim.errors import CapacityError
from hybridsim.units import format_bytes

Policy = Literal["lru", "pinned", "none"]
Tier = Literal["tcdm", "sram", "dram"]
POLICIES: tuple[Policy, ...] = ("lru", "pinned", "none")


def tier_of(sizes: Mapping[str, int], scratchpads: int, store: int) -> Tier:
    """Return where adapters are kept, those of each task of so many bytes.

    ``scratchpads`` is the room in all of them beside what the work needs, ``store`` the on-chip
    store [bytes]. On several chips all three are those of the chip with most of the adapters.
    """
    if sum(sizes.values()) <= scratchpads:
        return "tcdm"
    return "sram" if max(sizes.values(), default=0) <= store else "dram"


class Store:
    """The on-chip store of adapters, task by task.

    Raises:
        CapacityError: An adapter alone is larger than the store.
    """

    def __init__(self, capacity: int, sizes: Mapping[str, int], policy: Policy) -> None:
        for task, size in sizes.items():
            if size > capacity:
                raise CapacityError(
                    f"the adapters of task {task!r} take {format_bytes(size)}, but the store "
                    f"holds {format_bytes(capacity)}; a larger memory.sram.size or a lower "
                    "rank would do"
                )
        self._capacity = capacity
        self._sizes = sizes
        self._policy = policy
        self._held: OrderedDict[str, None] = OrderedDict()
        self._pinned = _first_that_fit(sizes, capacity) if policy == "pinned" else frozenset()

    @classmethod
    def filled(cls, sizes: Mapping[str, int]) -> "Store":
        """Return a store with room for everything, and everything in it."""
        store = cls(sum(sizes.values()), sizes, "pinned")
        store._held.update(dict.fromkeys(sizes))
        return store

    @property
    def held(self) -> tuple[str, ...]:
        """The tasks whose adapters are in the store, the one used longest ago first."""
        return tuple(self._held)

    def use(self, tasks: Iterable[str], busy: Iterable[str] = ()) -> tuple[str, ...]:
        """Bring the adapters of ``tasks`` into the store, and return those that are fetched.

        The adapters of ``busy`` tasks are being used by the cluster and cannot leave now.

        Raises:
            CapacityError: The adapters of ``tasks`` and ``busy`` together exceed the store.
        """
        wanted = tuple(dict.fromkeys(tasks))
        kept = {*wanted, *busy}
        total = sum(self._sizes[task] for task in kept)
        if total > self._capacity:
            raise CapacityError(
                f"adapters of {len(kept)} tasks take {format_bytes(total)} at the same time, but "
                f"the store holds {format_bytes(self._capacity)}; a larger memory.sram.size, "
                "smaller batches or no overlap would do"
            )
        fetched = []
        if self._policy == "none":
            self._drop(task for task in self.held if task not in kept)
        for task in wanted:
            if task in self._held:
                self._held.move_to_end(task)
                continue
            self._make_room(self._sizes[task], kept)
            self._held[task] = None
            fetched.append(task)
        return tuple(fetched)

    def _make_room(self, size: int, kept: set[str]) -> None:
        free = self._capacity - sum(self._sizes[task] for task in self._held)
        # the pinned ones leave last, and only where the rest is not enough
        leaving = [task for task in self._held if task not in kept]
        leaving.sort(key=lambda task: task in self._pinned)
        for task in leaving:
            if free >= size:
                return
            free += self._sizes[task]
            self._drop([task])

    def _drop(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            del self._held[task]


def _first_that_fit(sizes: Mapping[str, int], capacity: int) -> frozenset[str]:
    """Return the first tasks that fit, with room left for the largest of the others."""
    pinned: list[str] = []
    for task in sizes:
        rest = [size for other, size in sizes.items() if other not in (*pinned, task)]
        if sum(sizes[p] for p in pinned) + sizes[task] + max(rest, default=0) <= capacity:
            pinned.append(task)
    return frozenset(pinned)
