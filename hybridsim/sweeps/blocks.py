"""Points of a study in blocks: cases by what cannot be a column, columns by what can."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import Mapping as PlacedNetwork
from hybridsim.mapping import place
from hybridsim.mapping.copies import depend_on_times
from hybridsim.sweeps import machines
from hybridsim.sweeps.cases import Cases
from hybridsim.sweeps.columns import REAL
from hybridsim.sweeps.inputs import Inputs, Resolver
from hybridsim.sweeps.kinds import settled
from hybridsim.sweeps.machines import Columns
from hybridsim.sweeps.placed import Piece, Placed, Rows, rows_of
from hybridsim.sweeps.whole_runs import DETAILS, DOES_NOT_FIT, WholeRuns, in_words, tokens_of
from hybridsim.sweeps.whole_runs import Columns as Results
from hybridsim.units import Ints
from hybridsim.workload import Network

_MOST_CASES = 64
"""Cases that are remembered: the points of a chunk mostly are of few."""

_AT_ONCE = 1 << 16
"""Points that are evaluated together: many share what they cost, and columns stay in the cache."""


class Blocks:
    """All points of a case at once, where a case is what numbers cannot tell apart."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs, self._whole = inputs, WholeRuns(inputs)
        self._placing = _Placing(Resolver(inputs))
        self._cases: dict[int, _Case] = {}
        self._by_number = Cases(inputs)

    def evaluate(self, indices: Ints) -> Results:
        """Return the columns that the study asks for, and ``problem``, of some of its points."""
        if set(self._inputs.columns) & set(DETAILS):
            return self._whole.evaluate(indices)  # these are read off a whole result each
        places = self._inputs.coordinates(indices)
        case = np.broadcast_to(self._by_number.of(places), indices.shape)
        found = _Found(self._inputs.columns, len(indices))
        together: dict[tuple[object, ...], list[Piece]] = {}
        for at in _groups(case):
            columns = {
                path: numbers[own[at]]
                for own, by_path in zip(places, self._by_number.columns, strict=True)
                for path, numbers in by_path.items()
            }
            pieces = self._case(int(case[at[0]])).pieces(found, at, columns, indices[at])
            for piece in pieces:
                together.setdefault(piece.shares, []).append(piece)
        for pieces_alike in together.values():
            for some in _not_too_many(pieces_alike):
                found.take_all(some)
        return found.columns(self._whole, indices)

    def _case(self, number: int) -> "_Case":
        if number not in self._cases:
            while len(self._cases) >= _MOST_CASES:
                del self._cases[next(iter(self._cases))]
            self._cases[number] = _Case(self._placing)
        return self._cases[number]


def _groups(number: Ints) -> Iterator[Ints]:
    """Yield the places of equal numbers, in their order."""
    if (number == number[:1]).all():
        if len(number):
            yield np.arange(len(number))
        return
    by_number = np.argsort(number, kind="stable")
    yield from np.split(by_number, np.flatnonzero(np.diff(number[by_number])) + 1)


def _not_too_many(pieces: list[Piece]) -> Iterator[list[Piece]]:
    """Yield pieces in groups of about as many points as are evaluated together."""
    group: list[Piece] = []
    for piece in pieces:
        if group and sum(len(own.at) for own in group) + len(piece.at) > _AT_ONCE:
            yield group
            group = []
        group.append(piece)
    yield group


class _Found:
    """Results of some points as they come in."""

    def __init__(self, names: tuple[str, ...], points: int) -> None:
        self.numbers = {
            name: np.zeros(points, np.float64 if name in REAL else np.int64) for name in names
        }
        self.known = np.zeros(points, np.bool_)
        self.problem = np.full(points, "", dtype=object)
        self.ask = np.zeros(points, np.bool_)
        """Points to run as a whole."""

    def take(self, at: Ints, rows: Rows) -> None:
        """Take in the rows of some points."""
        for name, numbers in self.numbers.items():
            numbers[at] = rows.numbers[name]
        self.problem[at], self.ask[at] = rows.problem, rows.ask
        self.known[at] = rows.problem == ""

    def take_all(self, pieces: list[Piece]) -> None:
        """Evaluate pieces that share what is to be decided, and take in their rows."""
        try:
            for piece, rows in zip(pieces, rows_of(pieces), strict=True):
                self.take(piece.at, rows)
        except (InputError, OverflowError) as error:
            if len(pieces) > 1:
                for piece in pieces:
                    self.take_all([piece])
            elif isinstance(error, CapacityError):
                self.problem[pieces[0].at] = DOES_NOT_FIT
            else:
                self.ask[pieces[0].at] = True  # a run of each by itself says what is wrong

    def columns(self, whole: WholeRuns, indices: Ints) -> Results:
        """Return the columns, after running what is left to run; None where nothing is known."""
        left = np.flatnonzero(self.ask)
        self.known[left] = True
        ran = whole.evaluate(indices[left]) if len(left) else {}
        found: Results = {}
        for name, numbers in self.numbers.items():
            column: Any = numbers
            if not self.known.all() or len(left):
                column = numbers.astype(object)
                column[~self.known] = None
                column[left] = ran.get(name, [])
            found[name] = column
        self.problem[left] = ran.get("problem", [])
        return found | {"problem": self.problem}


@dataclass(frozen=True)
class _Unplaced:
    """Why a network has no place on a machine."""

    problem: str
    machine: Machine


@dataclass
class _Case:
    """Points that differ in columns alone."""

    placing: "_Placing"
    _placed: dict[tuple[int, ...], Placed | _Unplaced | None] = field(default_factory=dict)

    def pieces(self, found: _Found, at: Ints, columns: Columns, indices: Ints) -> Iterator[Piece]:
        """Yield the points ``at`` some places that are to be evaluated; fill in all others.

        What of the columns makes another network or strategy is a part of a case of its own,
        unless layers run one by one.
        """
        placed = self._place((), int(indices[0]))
        if isinstance(placed, Placed) and placed.layer_by_layer:
            yield from self._sound(found, at, placed, columns, indices)
            return
        own = [columns[path] for path in columns if path not in machines.PATHS]
        machine = {path: c for path, c in columns.items() if path in machines.PATHS}
        settings, which = machines.different(own, len(at))
        for number, setting in enumerate(settings):
            some = np.flatnonzero(which == number)
            placed = self._place(setting, int(indices[some[0]]))
            here = {path: c[some] for path, c in machine.items()}
            yield from self._sound(found, at[some], placed, here, indices[some])

    def _sound(
        self,
        found: _Found,
        at: Ints,
        placed: Placed | _Unplaced | None,
        columns: Columns,
        indices: Ints,
    ) -> Iterator[Piece]:
        if isinstance(placed, _Unplaced):
            # a value that makes no machine is told first: nothing is placed on what is none
            machine = machines.valid(placed.machine, columns, len(at))
            found.problem[at[machine]] = placed.problem
            found.ask[at[~machine]] = True
            return
        if placed is None or not placed.has(columns):
            found.ask[at] = True
            return
        sound = placed.sound(columns, len(at))
        if not sound.all():
            found.ask[at[~sound]] = True
            at, indices = at[sound], indices[sound]
            columns = {path: c[sound] for path, c in columns.items()}
        for first in range(0, len(at), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            own = {path: column[some] for path, column in columns.items()}
            yield Piece(placed, at[some], own, indices[some])

    def _place(self, setting: tuple[int, ...], index: int) -> Placed | _Unplaced | None:
        if setting not in self._placed:
            self._placed[setting] = self.placing.at(index)
        return self._placed[setting]


_Key = tuple[object, ...]


@dataclass
class _Placing:
    """Places networks, and remembers where weights lie: many machines place alike."""

    resolver: Resolver
    _known: dict[_Key, tuple[Network, PlacedNetwork]] = field(default_factory=dict)

    def at(self, index: int) -> Placed | _Unplaced | None:
        """Return what is placed at a point, why nothing is, or None where each is to say that."""
        try:
            point = self.resolver.point(index)
            tokens = tokens_of(point)
        except InputError:
            return None
        if point.machine.several and not settled(point.network, point.machine):
            return None  # where weights lie depends on times
        try:
            mapping = self._placed(point.network, point.machine)
        except InputError as error:
            # where weights lie depends on no column
            return _Unplaced(in_words(error), point.machine)
        return Placed(mapping, point.strategy, tokens, self.resolver)

    def _placed(self, network: Network, machine: Machine) -> PlacedNetwork:
        tile, cluster = machine.tile, machine.cluster
        key: _Key = (
            id(network), machine.name, tile.rows, tile.columns, tile.tiers, tile.count,
            tile.sharing, machine.chip_count, cluster and cluster.count, str(machine.mapping),
        )  # fmt: skip
        if depend_on_times(machine):
            key = (*key, str(tile))
        if machine.mapping.floor != "spread" or machine.several or machine.mapping.layers:
            key = (*key, str(machine))
        if key not in self._known:
            while len(self._known) >= _MOST_CASES:
                del self._known[next(iter(self._known))]
            self._known[key] = network, place(network, machine)
        return replace(self._known[key][1], machine=machine)
