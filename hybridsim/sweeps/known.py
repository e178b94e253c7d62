"""The points of a study that are looked at one after another, as a search does: known once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybridsim.sweeps.evaluate import make_evaluator
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.journal import Journal
from hybridsim.sweeps.recorded import Rows, Span
from hybridsim.sweeps.whole_runs import Columns
from hybridsim.units import Ints


@dataclass
class Known:
    """The points that are known, by index, and a way to know more."""

    inputs: Inputs
    journal: Journal | None = None
    rows: dict[int, Columns] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take up what the journal holds.

        Raises:
            SpecError: A part of the journal is damaged.
        """
        self._evaluator = make_evaluator(self.inputs, "compiled")
        if self.journal is None:
            return
        span, names = Span.of(self.inputs), (*self.inputs.columns, "problem")
        for indices, columns in span.rows(self.journal, names, span.nothing_done()):
            self._take(indices, columns)

    def row(self, index: int) -> Columns:
        """Return the columns of one point, computed and recorded unless they are known."""
        self.know([index])
        return self.rows[index]

    def know(self, indices: Iterable[int]) -> None:
        """Compute what is not known of some points, together, and record it."""
        new = np.array([index for index in indices if index not in self.rows], np.int64)
        if not len(new):
            return
        columns = self._evaluator.evaluate(new)
        if self.journal is not None:
            self.journal.append(self.inputs, new, columns)
        self._take(new, columns)

    def found(self, indices: Iterable[int]) -> list[Rows]:
        """Return what is known of some points, in the order of the grid."""
        return [(np.array([index]), self.rows[index]) for index in sorted(indices)]

    def _take(self, indices: Ints, columns: Mapping[str, Any]) -> None:
        for i, index in enumerate(indices.tolist()):
            self.rows[index] = {name: [column[i]] for name, column in columns.items()}
