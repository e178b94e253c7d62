"""From which batch it pays to share tiles in time, rather than to leave layers to clusters.

Writing tiles anew is borne by all sequences of a batch, so that time and energy of a sequence are
a constant and a share of the writing. What was run at a few batches tells both, and with them the
least batch at which sharing is better; all else is as the design has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor

import numpy as np

from hybridsim.designs.seen import Seen, coordinates

OVERFLOW, SEQUENCES = "mapping.overflow", "mapping.sequences"
"""The axes that say what is done with a network larger than its chip."""


@dataclass(frozen=True)
class Sharing:
    """One objective with layers on clusters, and with tiles that are shared in time."""

    objective: str
    digital: float
    """Its value where clusters compute the layers for which there are no tiles."""
    one: float
    """Its value where tiles are shared and written for each sequence anew."""
    most: float
    """Its value at the largest batch of the space."""
    largest: int
    """That batch."""
    pays_from: int | None
    """Least batch at which sharing is better; None where none is. Above the largest batch of the
    space it is extrapolated."""


def sharing_of(seen: Seen, place: int) -> list[Sharing]:
    """Return from which batch sharing tiles pays, for each objective; all that it reads is run.

    It is empty where the space leaves no such choice, or where one of the sides does not run.
    """
    inputs = seen.inputs
    labels = {axis.name: axis.labels for axis in inputs.axes}
    if not {"share", "digital"} <= set(labels.get(OVERFLOW, ())) or SEQUENCES not in labels:
        return []
    axes = {axis.name: k for k, axis in enumerate(inputs.axes)}
    own = coordinates(inputs, [seen.index[place]])[0]

    def at(overflow: str, sequences: str) -> int:
        own[axes[OVERFLOW]] = labels[OVERFLOW].index(overflow)
        own[axes[SEQUENCES]] = labels[SEQUENCES].index(sequences)
        return int(np.ravel_multi_index(tuple(own), inputs.shape))

    digital = at("digital", labels[SEQUENCES][own[axes[SEQUENCES]]])
    shared = {int(label): at("share", label) for label in labels[SEQUENCES]}
    seen.know([digital, *shared.values()])
    found = []
    for name, direction in seen.objectives.items():
        column = seen.column(name)
        kept = [(n, float(column[seen.place(index)])) for n, index in sorted(shared.items())]
        other = float(column[seen.place(digital)])
        if direction != "minimise" or not np.isfinite([other, *(v for _, v in kept)]).all():
            continue
        (_, one), (largest, most) = kept[0], kept[-1]
        found.append(Sharing(name, other, one, most, largest, pays_from(kept, other)))
    return found


def pays_from(shared: Sequence[tuple[int, float]], other: float) -> int | None:
    """Return the least batch with a value below another one; None where there is none.

    ``shared`` are batches and values, the least batch first. Between two of them, and beyond the
    last, a value is taken for a constant and a share of what a batch bears in all.
    """
    if shared[0][1] < other:
        return shared[0][0]
    for (few, high), (many, low) in pairwise(shared):
        if low < other or many == shared[-1][0]:
            whole = (high - low) / (1 / few - 1 / many)
            constant = low - whole / many
            if whole <= 0 or constant >= other:
                return many if low < other else None
            found = floor(whole / (other - constant)) + 1
            return min(found, many) if low < other else found
    return None
