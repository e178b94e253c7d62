"""What differs between two results: what went in, what came out, and where the time went."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hybridsim.measure.answer import Answer, Document
from hybridsim.measure.result import Result

if TYPE_CHECKING:
    import pandas as pd

FIGURES = (
    "latency_ps", "yardstick_ps", "overhead_percent", "layer_by_layer_percent",
    "throughput_tokens_per_s", "energy_pj", "average_power_w", "tcdm_bytes", "tiles", "crossbars",
    "occupancy", "tasks", "area_um2",
)  # fmt: skip
"""What is compared of two results, by the names of its columns."""


class FigureChange(Answer):
    """One figure in both results."""

    name: str
    """What it is, with its unit."""
    before: float | None
    """Its value in the first result; None where that does not tell it."""
    after: float | None
    """Its value in the second result; None where that does not tell it."""
    change_percent: float | None
    """(after - before) / before [%]; None where one is unknown or the first is 0."""


class InputChange(Answer):
    """One input that is not the same in both."""

    path: str
    """Where it stands below ``inputs`` of the result."""
    before: str
    """What the first result has there; empty for nothing."""
    after: str
    """What the second result has there; empty for nothing."""


class OpChange(Answer):
    """One layer, or another op of a whole network."""

    name: str
    """Its name."""
    before_ps: int | None
    """Its latency in the first result [ps]; None where it has none."""
    after_ps: int | None
    """Its latency in the second result [ps]; None where it has none."""


class PartChange(Answer):
    """One kind of part of the machines."""

    name: str
    """What the part is."""
    critical_before_ps: int
    """Its time on the critical path of the first run [ps]."""
    critical_after_ps: int
    """Its time on the critical path of the second run [ps]."""
    energy_before_aj: int | None = None
    """What it draws in the first run, static energy included [aJ]; None where it is unknown."""
    energy_after_aj: int | None = None
    """What it draws in the second run [aJ]; None where it is unknown."""


class RunHead(Answer):
    """Which run a result is of, and how sure its latency is."""

    label: str
    """What it is called here."""
    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    strategy: str
    """The strategy's name."""
    tokens: int
    """Tokens per sequence."""
    hybridsim_version: str
    """The release that computed it."""
    bound: str
    """The part whose elasticity is largest."""
    latency_ps: int
    """Start to end of the whole run [ps]."""
    latency_low_ps: int | None = None
    """The lower end of its 90 % interval [ps]; None where that was not asked for."""
    latency_high_ps: int | None = None
    """The upper end of its 90 % interval [ps]; None where that was not asked for."""


class Difference(Document):
    """Two results side by side."""

    before: RunHead
    """The first result."""
    after: RunHead
    """The second result."""
    apart: bool | None
    """Whether the 90 % intervals of the latencies have no time in common; None where one is
    unknown. What both assume alike is in neither."""
    figures: tuple[FigureChange, ...]
    """The figures of both."""
    inputs: tuple[InputChange, ...]
    """What went in differently."""
    parts: tuple[PartChange, ...]
    """Kinds of parts; their times on the critical path add up to the latencies."""
    ops: tuple[OpChange, ...]
    """Layers and other ops of both, in the order of the first."""

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per layer or op: name, before_ps, after_ps, change_ps."""
        import pandas as pd  # slow to import

        rows = [op.model_dump() for op in self.ops]
        table = pd.DataFrame(rows, columns=["name", "before_ps", "after_ps"])
        table = table.astype({"before_ps": "Int64", "after_ps": "Int64"})
        return table.assign(change_ps=table["after_ps"] - table["before_ps"])


def difference(
    before: Result, after: Result, labels: tuple[str, str] = ("before", "after")
) -> Difference:
    """Return what differs between two results.

    Ops are the same where their names are. Times of layers that overlap count waiting for others,
    as they do in the results.
    """
    first, second = head_of(before, labels[0]), head_of(after, labels[1])
    a, b = _values(before), _values(after)
    return Difference(
        before=first,
        after=second,
        apart=intervals_apart(first, second),
        figures=tuple(
            FigureChange(
                name=name, before=a[name], after=b[name], change_percent=_percent(a[name], b[name])
            )
            for name in FIGURES
            if a[name] is not None or b[name] is not None
        ),
        inputs=tuple(_changed_inputs(before.inputs, after.inputs)),
        parts=tuple(_parts(before, after)),
        ops=tuple(_ops(before, after)),
    )


def head_of(result: Result, label: str) -> RunHead:
    """Return which run a result is of."""
    interval = result.interval
    return RunHead(
        label=label,
        **{
            name: getattr(result, name)
            for name in RunHead.model_fields
            if hasattr(result, name) and name != "label"
        },
        latency_low_ps=interval.latency_low_ps if interval else None,
        latency_high_ps=interval.latency_high_ps if interval else None,
    )


def intervals_apart(first: RunHead, second: RunHead) -> bool | None:
    """Return whether two 90 % intervals have no time in common; None where one is unknown."""
    ends = (
        first.latency_low_ps, first.latency_high_ps, second.latency_low_ps, second.latency_high_ps
    )  # fmt: skip
    if any(end is None for end in ends):
        return None
    low, high, other_low, other_high = (end or 0 for end in ends)
    return high < other_low or other_high < low


def _values(result: Result) -> dict[str, float | None]:
    """Return each of :data:`FIGURES`."""
    energy, area = result.energy, result.area
    found: dict[str, float | None] = {name: getattr(result, name, None) for name in FIGURES}
    found["energy_pj"] = energy.total_pj if energy else None
    found["average_power_w"] = energy.average_power_w if energy else None
    found["area_um2"] = area.total_um2 if area else None
    return found


def _percent(before: float | None, after: float | None) -> float | None:
    if before is None or after is None or not before:
        return None
    return (after - before) / abs(before) * 100


def _changed_inputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InputChange]:
    first, second = dict(_leaves(before)), dict(_leaves(after))
    for path in dict.fromkeys((*first, *second)):
        a, b = first.get(path, ""), second.get(path, "")
        if a != b:
            yield InputChange(path=path, before=a, after=b)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted path and text of every value; items of lists that have a name are told by it.

    Two lists of ops thus differ where an op does, not from the first one that was added.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            name = item.get("name", place) if isinstance(item, Mapping) else place
            yield from _leaves(item, f"{path}[{name}]")
    else:
        yield path, "" if value is None else str(value)


def _parts(before: Result, after: Result) -> Iterator[PartChange]:
    shares = (before.critical_path_share, after.critical_path_share)
    energies = (_energy(before), _energy(after))
    for name in dict.fromkeys((*shares[0], *shares[1], *energies[0], *energies[1])):
        yield PartChange(
            name=name,
            critical_before_ps=round(shares[0].get(name, 0) * before.latency_ps),
            critical_after_ps=round(shares[1].get(name, 0) * after.latency_ps),
            energy_before_aj=energies[0].get(name, 0) if before.energy else None,
            energy_after_aj=energies[1].get(name, 0) if after.energy else None,
        )


def _energy(result: Result) -> dict[str, int]:
    """Return part -> what it draws at work and for being there [aJ]."""
    found: dict[str, int] = {}
    if result.energy is not None:
        for each in (result.energy.component_aj, result.energy.static_aj):
            for name, aj in each.items():
                found[name] = found.get(name, 0) + aj
    return found


def _latencies(result: Result) -> dict[str, int]:
    layers = {layer.name: layer.latency_ps for layer in result.layers}
    return layers | {op.name: op.latency_ps for op in result.ops}


def _ops(before: Result, after: Result) -> Iterator[OpChange]:
    first, second = _latencies(before), _latencies(after)
    for name in dict.fromkeys((*first, *second)):
        yield OpChange(name=name, before_ps=first.get(name), after_ps=second.get(name))
