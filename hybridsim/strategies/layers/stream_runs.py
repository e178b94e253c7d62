"""How long layers take that run at the same time: each different group of them is run once."""

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.decisions import Group, LayerDecisions
from hybridsim.strategies.layers.estimate import PricedParts
from hybridsim.strategies.machine_shape import MachineShape

MOST_KNOWN = 1 << 16
"""Groups whose times are remembered."""
_known: dict[tuple[object, ...], int] = {}
"""Times of groups [ps], of all jobs: networks repeat their layers, and strategies their groups."""

_numbers: dict[tuple[PricedParts, MachineShape], int] = {}
"""Parts by number, as they take long to hash."""
_next = count()


@dataclass
class GroupRuns:
    """Times of groups of a job. The next group begins when all of one is done, so times add up."""

    job: Job
    _parts: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, group: Group) -> int:
        """Return how long a group takes on its own [ps]."""
        key = self._key(group)
        if key not in _known:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = self._run(group)
        return _known[key]

    def _key(self, group: Group) -> tuple[object, ...]:
        """Return what the time of a group depends on."""
        job, place = self.job, {name: i for i, (name, _) in enumerate(group.members)}
        inputs = tuple(tuple(place[name] for name in own) for own in group.inputs)
        base: dict[str, int] = {}
        members = []
        for name, batching in group.members:
            layer = job.layers[name]
            turn: Any = None
            if batching is not None:
                assert layer.cluster is not None
                first, there = job.resources.first[layer.cluster_sort]
                number = layer.cluster - first
                # clusters of a kind are alike, so who comes how far behind whom is what counts
                turn = (number - base.setdefault(layer.cluster_sort, number)) % there
            shape = (layer.op.matrices[1:], layer.copies, job.tokens_of(layer))
            members.append((shape, self._parts_of(layer), turn, batching))
        return (group.batch, inputs, *members)

    def _parts_of(self, layer: PlacedLayer) -> int:
        """Return a number for the parts that a layer is on, and the shape of their machine."""
        kinds = layer.sort, layer.cluster_sort
        if kinds not in self._parts:
            if len(_numbers) >= MOST_KNOWN:
                _numbers.clear()
                _known.clear()
            key = PricedParts.of(self.job.machine_of(layer)), self.job.structure.machine
            self._parts[kinds] = _numbers.setdefault(key, next(_next))
        return self._parts[kinds]

    def _run(self, group: Group) -> int:
        # what is written to tiles comes before all of a group, and takes the same for any
        layers = tuple(replace(self.job.layers[name], written=None) for name, _ in group.members)
        own = Job(replace(self.job.mapping, layers=layers), self.job.tokens, self.job.engine)
        return own.run_ps(LayerDecisions((), (group,)).draft(own).outline.expand())
