"""The points of a study: what each is, in a stable order, and the key it is recorded under."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybridsim.arch import Machine, load_machine, machine_with
from hybridsim.errors import InputError, SpecError
from hybridsim.library import network_path
from hybridsim.outside import origin_of
from hybridsim.strategies import Strategy, make_strategy, strategy_class
from hybridsim.sweeps.accuracy import AccuracyOfAxis, accuracy_by_label
from hybridsim.sweeps.axes import Axis
from hybridsim.sweeps.columns import ACCURACY, DERIVED
from hybridsim.sweeps.model_version import model_version
from hybridsim.sweeps.study import Study, asked_columns, fixed_settings, study_axes
from hybridsim.units import Ints
from hybridsim.workload import Network, load_network

Loaded = TypeVar("Loaded")

Keys = NDArray[np.uint64]
"""One key of 128 bits per point, shape (points, 2)."""


@dataclass(frozen=True)
class Point:
    """What one run of a study is given."""

    network: Network
    machine: Machine
    strategy: Strategy
    tokens: int | None


@dataclass(frozen=True)
class Inputs:
    """A study with all its files read: it can be sent to another machine as it is."""

    study: Study
    axes: tuple[Axis, ...]
    fixed: Mapping[str, Any]
    """Path -> value for all points."""
    machines: Mapping[str, Machine]
    """Machines by the name under which the study knows them."""
    networks: Mapping[str, Network]
    """Networks by the name under which the study knows them."""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Values of the axes on which accuracy depends, joined -> accuracy [%]."""

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Values per axis; the last axis varies fastest."""
        return tuple(len(axis) for axis in self.axes)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Result columns that every point must be evaluated for."""
        asked = asked_columns(self.study, self.axes)
        known = {*(axis.column for axis in self.axes), ACCURACY}
        flat = [c for name in asked - known for c in DERIVED.get(name, (name,))]
        return tuple(sorted(set(flat)))

    def coordinates(self, indices: Ints) -> tuple[Ints, ...]:
        """Return, for every axis, which of its values each point has."""
        return tuple(np.asarray(c, np.int64) for c in np.unravel_index(indices, self.shape))

    def settings(self, index: int) -> dict[str, Any]:
        """Return path -> value of all that one point sets."""
        found = dict(self.fixed)
        for axis, place in zip(self.axes, np.unravel_index(index, self.shape), strict=True):
            found |= axis.settings[int(place)]
        return found

    def labels(self, index: int) -> str:
        """Return a name of one point for people."""
        places = np.unravel_index(index, self.shape)
        pairs = zip(self.axes, places, strict=True)
        return ", ".join(f"{axis.name}={axis.labels[int(place)]}" for axis, place in pairs)

    def keys(self, indices: Ints) -> Keys:
        """Return the key of every point: a hash of its resolved inputs and the model version.

        Each path and value has a hash, a machine or a network that of its whole content; the key
        is the sum of those of a point (modulo 2^64, in two lanes), so that it does not depend on
        which of its settings are axes, nor on the order of axes. Result columns count as inputs:
        a point recorded without a column is not taken for one with it.
        """
        base, by_axis = self._summands
        keys = np.tile(base, (len(indices), 1))
        with np.errstate(over="ignore"):
            for own, places in zip(by_axis, self.coordinates(indices), strict=True):
                keys += own[places]
        return keys

    @cached_property
    def study_key(self) -> str:
        """Hash of what all points have in common, and of all values of all axes in their order.

        Points that two studies with the same one number alike are the same.
        """
        base, by_axis = self._summands
        digest = hashlib.blake2b(base.astype("<u8").tobytes(), digest_size=16)
        for own in by_axis:
            digest.update(len(own).to_bytes(8, "little") + own.astype("<u8").tobytes())
        return digest.hexdigest()

    @cached_property
    def _summands(self) -> tuple[NDArray[np.uint64], list[NDArray[np.uint64]]]:
        """What all keys have in common; for each axis, what each of its values adds to a key."""
        base = self._digest("model", [model_version(), list(self.columns)])
        with np.errstate(over="ignore"):
            for path, value in self.fixed.items():
                base = base + self._digest(path, value)
            by_axis = []
            for axis in self.axes:
                own = np.array([self._sum(group) for group in axis.settings], np.uint64)
                # an axis overrides what is fixed for all
                shadowed = {p: v for p, v in self.fixed.items() if p in axis.paths}
                for place, group in enumerate(axis.settings):
                    for path in set(shadowed) & set(group):
                        own[place] -= self._digest(path, shadowed[path])
                by_axis.append(own)
        return base, by_axis

    def _sum(self, settings: Mapping[str, Any]) -> NDArray[np.uint64]:
        total = np.zeros(2, np.uint64)
        for path, value in settings.items():
            total += self._digest(path, value)
        return total

    def _digest(self, path: str, value: Any) -> NDArray[np.uint64]:
        if path in ("machine", "network"):
            value = self._content_digest[path, value]
        elif path == "strategy" and (origin := origin_of(strategy_class(value))):
            value = [origin.name, origin.code]  # what it computes depends on its code
        text = json.dumps([path, value], sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.frombuffer(digest, "<u8").astype(np.uint64)

    @cached_property
    def _content_digest(self) -> dict[tuple[str, str], str]:
        """Hash of every machine and network that the study uses."""
        specs = [("machine", name, spec.to_text()) for name, spec in self.machines.items()]
        specs += [("network", name, spec.to_text()) for name, spec in self.networks.items()]
        return {
            (what, name): hashlib.blake2b(json.dumps(text, sort_keys=True).encode()).hexdigest()
            for what, name, text in specs
        }


def read_inputs(study: Study, file: str = "study") -> Inputs:
    """Return the study with its machines and networks read, after trying every value of its axes.

    Raises:
        SpecError: The study has no sense, or a value, beside the first values of the other axes,
            does not describe a machine, a network's adapters or a strategy.
        UnknownNameError: A machine or a network is not known.
    """
    axes = study_axes(study, file)
    fixed = fixed_settings(study)
    machines = _loaded("machine", load_machine, fixed, axes, file)
    networks = _loaded("network", lambda name: load_network(network_path(name)), fixed, axes, file)
    accuracy: Mapping[str, float] = {}
    if isinstance(study.accuracy, AccuracyOfAxis):
        accuracy = accuracy_by_label(study.accuracy, file)
    elif study.accuracy is not None:
        accuracy = study.accuracy.percent
    inputs = Inputs(study, axes, fixed, machines, networks, accuracy)
    _try_values(inputs, file)
    return inputs


def _loaded(
    what: str,
    load: Callable[[str], Loaded],
    fixed: Mapping[str, Any],
    axes: Iterable[Axis],
    file: str,
) -> dict[str, Loaded]:
    """Return name -> machine or network, of all that a study names."""
    found = {}
    for name in _used(what, fixed, axes, file):
        try:
            found[name] = load(name)
        except InputError as error:
            raise SpecError(file, what, str(error)) from None
    return found


def _used(what: str, fixed: Mapping[str, Any], axes: Iterable[Axis], file: str) -> list[str]:
    names = [fixed[what]] if what in fixed else []
    names += [group[what] for axis in axes for group in axis.settings if what in group]
    for name in names:
        if not isinstance(name, str):
            raise SpecError(file, what, f"found {name!r}; a name or a file would do")
    return list(dict.fromkeys(names))


def _try_values(inputs: Inputs, file: str) -> None:
    """Build each value of every axis once, so that what is misspelt is told before a long run.

    Of an axis of more than 200 values, the first, the last and 200 in between are built.
    """
    resolver = Resolver(inputs)
    strides = np.cumprod((1, *inputs.shape[:0:-1]))[::-1]
    for axis, stride in zip(inputs.axes, strides, strict=True):
        places = np.unique(np.linspace(0, len(axis) - 1, min(len(axis), 202)).astype(int))
        for place in places:
            try:
                resolver.point(int(place * stride))
            except InputError as error:
                problem = str(error).removeprefix("--set: ")
                raise SpecError(file, f"axes.{axis.name}: {axis.labels[place]}", problem) from None


class Resolver:
    """Builds points, and remembers the parts that the next ones are likely to share."""

    def __init__(self, inputs: Inputs, most_remembered: int = 64) -> None:
        self.inputs = inputs
        self._most = most_remembered
        self._machines: dict[str, Machine] = {}
        self._networks: dict[str, Network] = {}

    def point(self, index: int) -> Point:
        """Return one point.

        Raises:
            InputError: Its settings do not describe a run.
        """
        settings = self.inputs.settings(index)
        groups: dict[str, dict[str, Any]] = {"machine": {}, "adapters": {}, "strategy": {}}
        for path, value in settings.items():
            head, _, rest = path.partition(".")
            if head in ("adapters", "strategy") and rest:
                groups[head][rest] = value
            elif path not in ("network", "machine", "tokens", "strategy", "adapters"):
                groups["machine"][path] = value
        tokens = settings.get("tokens")
        if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool)):
            raise InputError(f"tokens: found {tokens!r}; a whole number would do")
        adapted = settings.get("adapters", "own")
        if adapted not in ("own", "none"):
            raise InputError(f"adapters: found {adapted!r}; own or none would do")
        return Point(
            self._network(settings["network"], groups["adapters"], adapted == "own"),
            self._machine(settings["machine"], groups["machine"]),
            make_strategy(settings["strategy"], groups["strategy"]),
            tokens,
        )

    def _machine(self, name: str, overrides: dict[str, Any]) -> Machine:
        key = repr((name, overrides))
        if key not in self._machines:
            _forget(self._machines, self._most)
            self._machines[key] = machine_with(self.inputs.machines[name], overrides)
        return self._machines[key]

    def _network(self, name: str, changes: dict[str, Any], adapted: bool) -> Network:
        key = repr((name, changes, adapted))
        if key not in self._networks:
            _forget(self._networks, self._most)
            network = self.inputs.networks[name]
            if adapted:
                network = network.with_adapter_settings(changes)
            else:
                network = network.without_adapters()
            self._networks[key] = network
        return self._networks[key]


def _forget(remembered: dict[str, Any], most: int) -> None:
    """Make room for one more: drop what has been there longest."""
    while len(remembered) >= most:
        del remembered[next(iter(remembered))]
