"""A design: what was chosen, how it stands to the limits, and what else there is."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from hybridsim._version import __version__
from hybridsim.designs.accuracy import Known
from hybridsim.designs.asking import Asked
from hybridsim.designs.choice import Conflict, Decision, Price
from hybridsim.designs.limits import Limit
from hybridsim.designs.seen import Seen
from hybridsim.designs.sharing import Sharing
from hybridsim.measure.result import Result
from hybridsim.sweeps.accuracy import SEPARATOR
from hybridsim.sweeps.answers import build_table
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.run import plain_rows


@dataclass(frozen=True)
class Standing:
    """How a design stands to one limit."""

    limit: Limit
    value: float | None
    """What it has, in the unit of the column; None where nothing is known."""
    slack: float | None
    """How far the value is inside of the limit, in the unit of the column; below 0 it misses."""
    price: Price | None

    @property
    def met(self) -> bool | None:
        """Whether the limit is met; None where nothing is known."""
        return None if self.slack is None else self.slack >= 0

    @property
    def binds(self) -> bool:
        """Whether the design would be better if the limit were wider."""
        return self.price is not None and self.price.binds


@dataclass(frozen=True)
class SearchStory:
    """How the front was found."""

    points: int
    runs: int
    left_out: int
    complete: bool
    why: str
    seed: int
    checked: int
    """Points that bounds had left out and that were run at the end."""
    wrong: int
    """Those of them that would have been on the front."""
    interrupted: bool
    seconds: float


@dataclass(frozen=True)
class Design:
    """The answer to what should be built."""

    asked: Asked
    seen: Seen
    place: int
    """Of the chosen point among those that were seen."""
    meets_all: bool
    """Whether it meets all limits that can be compared."""
    decisions: tuple[Decision, ...]
    prices: tuple[Price, ...]
    conflicts: tuple[Conflict, ...]
    sharing: tuple[Sharing, ...]
    """From which batch it pays to share tiles in time, where that may be chosen."""
    story: SearchStory
    result: Result
    """Its run, with its interval where that is known."""

    @property
    def feasible(self) -> bool | None:
        """Whether all limits are met; None where that is not known for want of evidence."""
        if not self.meets_all:
            return False
        return None if self.asked.open_limits else True

    @property
    def index(self) -> int:
        """The chosen point's place in the grid."""
        return self.seen.index[self.place]

    @property
    def choice(self) -> dict[str, str]:
        """Axis -> the value that was chosen."""
        return choice_at(self.asked, self.index)

    @property
    def objectives(self) -> dict[str, float]:
        """Objective -> its value."""
        return {n: float(self.seen.column(n)[self.place]) for n in self.seen.objectives}

    @property
    def settings(self) -> dict[str, Any]:
        """Path -> value of all that the chosen point sets."""
        return self.asked.inputs.settings(self.index)

    @property
    def known(self) -> Known | None:
        """What is known of its accuracy; None for nothing."""
        names = self.asked.inputs.study.accuracy_axes
        choice = self.choice
        if not all(name in choice for name in names):
            return None
        return self.asked.known.get(SEPARATOR.join(choice[name] for name in names))

    def standings(self) -> list[Standing]:
        """Return how the design stands to each limit, those without evidence last."""
        prices = {price.limit: price for price in self.prices}
        found = []
        for limit in self.asked.limits:
            own = limit.constraint
            assert own is not None
            value = float(self.seen.column(own.column)[self.place])
            slack = own.bound - value if own.sign.startswith("<") else value - own.bound
            known = np.isfinite(value)
            found.append(
                Standing(limit, value if known else None, slack if known else None,
                         prices.get(limit.text))
            )  # fmt: skip
        return found + [Standing(limit, None, None, None) for limit in self.asked.open_limits]

    def table(self) -> pd.DataFrame:
        """Return all points that were run, as a sweep has them."""
        return build_table(self.asked.inputs, self.seen.known.found(self.seen.index))

    def document(self) -> dict[str, Any]:
        """Return all of it as one JSON document."""
        table = self.table()
        front = table[table["pareto"]].drop(columns=["problem", "feasible", "pareto"])
        asked, known = self.asked, self.known
        return {
            "hybridsim_version": __version__,
            "model_version": model_version(),
            "network": asked.question.network,
            "base": asked.question.base,
            "tokens": asked.inputs.study.tokens,
            "feasible": self.feasible,
            "choice": self.choice,
            "settings": self.settings,
            "objectives": self.objectives,
            "measured": measured(self.result),
            "limits": [_standing(own) for own in self.standings()],
            "accuracy": known.to_text() if known else None,
            "study_needed": asked.needed or None,
            "conflicts": [self._conflict(own) for own in self.conflicts],
            "front": plain_rows(front),
            "decisions": [_decision(own) for own in self.decisions],
            "sharing": [asdict(own) for own in self.sharing],
            "search": {k: getattr(self.story, k) for k in SearchStory.__dataclass_fields__},
            "notes": list(asked.notes),
        }

    def _conflict(self, own: Conflict) -> dict[str, Any]:
        nearest = {
            limit: {
                "choice": choice_at(self.asked, index),
                "values": {
                    name: _finite(self.seen.column(name)[self.seen.place(index)])
                    for name in self.seen.columns
                },
            }
            for limit, index in own.nearest.items()
        }
        return {"limits": list(own.limits), "nearest": nearest}


def choice_at(asked: Asked, index: int) -> dict[str, str]:
    """Return axis -> the value that a point has."""
    axes = asked.inputs.axes
    places = np.unravel_index(index, asked.inputs.shape)
    return {axis.name: axis.labels[int(k)] for axis, k in zip(axes, places, strict=True)}


def measured(result: Result) -> dict[str, Any]:
    """Return what the run of a design says of itself."""
    found: dict[str, Any] = {
        "latency_ps": result.latency_ps,
        "tcdm_bytes": result.tcdm_bytes,
        "tiles": result.tiles,
        "bound": result.bound,
        "covers": result.covers.text if result.covers else None,
    }
    if result.energy is not None:
        found["energy_pj"] = result.energy.total_pj
    if result.area is not None:
        found["area_mm2"] = result.area.total_um2 / 1e6
    if result.interval is not None:
        own = result.interval
        found["latency_low_ps"], found["latency_high_ps"] = own.latency_low_ps, own.latency_high_ps
    return found


def _standing(own: Standing) -> dict[str, Any]:
    limit, price = own.limit, own.price
    found: dict[str, Any] = {
        "limit": limit.text,
        "column": limit.constraint.column if limit.constraint else "accuracy_percent",
        "bound": limit.constraint.bound if limit.constraint else None,
        "value": own.value,
        "slack": own.slack,
        "met": own.met,
        "binds": own.binds,
    }
    if price is not None:
        found["price"] = {
            "relaxed_to": price.relaxed,
            "best": {name: {"now": old, "then": new} for name, (old, new) in price.gains.items()},
        }
    return found


def _decision(own: Decision) -> dict[str, Any]:
    return {
        "axis": own.axis,
        "chosen": own.label,
        "alternatives": [
            {"value": a.label, "changes_percent": a.changes, "misses": list(a.misses)}
            for a in own.alternatives
        ],
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
