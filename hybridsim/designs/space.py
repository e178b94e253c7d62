"""What a design may choose unless a file says otherwise: the axes of a study, as data.

An axis is there if the base machine has all that it sets, and its values include what the base
has. What depends on a choice in silicon goes with it: the area of a tile with its devices, that of
a cluster with its engine, the power of a cluster with its clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridsim.arch import Machine, machine_with
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.errors import InputError, SpecError
from hybridsim.specs import read_yaml_mapping

Axes = dict[str, Any]
"""Axes as the file of a study has them."""

FOR_LAYERS = (
    "token_parallel", "early_xa", "fused_add", "separate_add", "swapped", "split_cores",
    "cross_layer",
)  # fmt: skip
FOR_NETWORKS = ("serial", "il_par", "il_pipe", "xl_pipe", "il_xl_pipe", "xb_pipe", "network")
BATCHES = (4, 8, 16, 32, 64)
"""Tokens per batch; those of a network as a whole begin with 8. Source: HARP, {8, 16, 32, ...}."""

PLAIN: Mapping[str, tuple[Any, ...]] = {
    "tile.integration_time": ("128 ns", "256 ns", "512 ns"),  # the times that the paper studies
    "cluster.count": (1, 2, 4, 8),
    "mapping.copies": (1, 2, 4, "balanced"),
    "tile.sharing": ("exclusive", "latency", "balance", "area"),
}
"""Field of a machine -> values to choose from; 'tile.sharing' only where tiles are shared."""
LARGER: Mapping[str, tuple[Any, ...]] = {
    "mapping.overflow": ("share", "digital"),
    "mapping.sequences": (1, 2, 4, 8, 16, 32, 64),
}
"""What may be chosen where a network is larger than the chip."""
ENGINES = {"4x8": (4, 8, 256), "4x12": (4, 12, 256), "8x24": (8, 24, 512)}
"""Rows and columns of the arrays that were measured in RTL, and the width of the port [bit]."""
CLOCKS = ("500 MHz", "1 GHz")
"""That of HARP's clusters, and that of Snitch chips."""
SIZES = (256, 512)
"""Rows and columns of a tile: HERMES and the paper."""
ASSUMED = {
    "tile.size": "assumed: the area of a tile is in proportion to its devices",
    "engine": "assumed: the area of a matrix engine is in proportion to its elements",
    "clock": "assumed: the power of a cluster is in proportion to its clock, at one voltage",
    "cluster.count": "assumed: all clusters share one link",
}
"""Axis -> what it takes for granted of silicon."""


@dataclass
class Space:
    """What a design may choose, and what is told of it."""

    axes: Axes
    whole: bool = False
    """Whether it has strategies for all ops of a network, not for its linear layers alone."""
    own: bool = False
    """Whether a file of the user says what it is."""
    notes: list[str] = field(default_factory=list)
    """What was chosen or assumed for the user, a line each."""


def default_axes(machine: Machine, whole: bool, tokens: int, larger: bool = False) -> Axes:
    """Return the axes of the default space.

    ``whole`` says that every op of a network is run, not its linear layers alone; ``larger`` that
    the network needs more tiles than the machine has.
    """
    axes: Axes = {"strategy": list(FOR_NETWORKS if whole else FOR_LAYERS)}
    least = 8 if whole else 1
    batches = [own for own in BATCHES if least <= own <= tokens]
    axes["strategy.batch"] = batches or [tokens]
    for path, values in PLAIN.items():
        if (found := _with_own(machine, path, values)) is not None:
            axes[path] = found
    if larger:
        axes |= {path: list(values) for path, values in LARGER.items()}
        del axes["mapping.copies"]  # there is not even room for one
    for name, groups in (
        ("tile.size", _sizes(machine)), ("engine", _engines(machine)), ("clock", _clocks(machine)),
    ):  # fmt: skip
        if len(groups) > 1:
            axes[name] = groups
    return axes


def without(axes: Axes, given: Collection[str]) -> Axes:
    """Return axes without those that vary one of the paths that are given."""

    def varied(name: str, own: Any) -> set[str]:
        groups = own.values() if isinstance(own, dict) else ()
        return {path for group in groups for path in group} or {name}

    return {name: own for name, own in axes.items() if varied(name, own).isdisjoint(given)}


def read_space(path: Path) -> dict[str, Any]:
    """Return what a file of a space says: keys of a study, all of which may be left out but axes.

    Raises:
        SpecError: The file cannot be read, has no axes, or other keys are of another form.
    """
    given = read_yaml_mapping(path)
    if not isinstance(given.get("axes"), dict):
        problem = "key 'axes' is missing: what a design may choose, as a study has it"
        raise SpecError(str(path), "", problem)
    for key, kind, wanted in (("set", dict, "a mapping"), ("constraints", list, "a list")):
        if not isinstance(given.get(key, kind()), kind):
            problem = f"found {str(given[key])[:40]!r}; {wanted} would do"
            raise SpecError(str(path), key, problem)
    return given


def _with_own(machine: Machine, path: str, values: tuple[Any, ...]) -> list[Any] | None:
    """Return values of a field, with that of the machine; None where it has no such field."""
    head, _, key = path.partition(".")
    group = getattr(machine, head, None)
    if group is None or not hasattr(group, key):
        return None
    own = group.to_text().get(key, getattr(group, key))
    if path == "tile.sharing" and own == "exclusive":
        return None  # tiles of a layer's own: nothing is shared
    if path == "mapping.copies" and not _has_budget(machine):
        values = tuple(value for value in values if value != "balanced")
    if path == "tile.sharing":
        values = tuple(value for value in values if value != "exclusive")
    if isinstance(own, dict):
        return None  # copies by pattern: more than an axis changes
    found = [value for value in (*values, own) if _fits(machine, {path: value})]
    found = list(dict.fromkeys(found))
    if all(isinstance(value, int) for value in found):
        found.sort()
    elif path == "tile.integration_time":
        found.sort(key=lambda value: machine_with(machine, {path: value}).tile.integration_time)
    return found if len(found) > 1 else None


def _has_budget(machine: Machine) -> bool:
    """Return whether it is known how many tiles balanced copies may take, each a layer's own."""
    if machine.tile.sharing != "exclusive" or machine.several or machine.mapping.layers:
        return False
    return machine.tile.count != "as_needed" or machine.mapping.tiles is not None


def _fits(machine: Machine, settings: Mapping[str, Any]) -> bool:
    """Return whether settings make a machine."""
    try:
        machine_with(machine, settings)
    except InputError:
        return False
    return True


def _sizes(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return the sizes of tiles, where a machine has as many tiles as it needs."""
    tile = machine.tile
    if tile.count != "as_needed":
        return {}
    sizes = dict.fromkeys([*((size, size) for size in SIZES), (tile.rows, tile.columns)])
    found = {}
    for rows, columns in sorted(sizes):
        settings: dict[str, Any] = {"tile.rows": rows, "tile.columns": columns}
        if machine.area is not None and machine.area.tile is not None:
            area = machine.area.tile * rows * columns // (tile.rows * tile.columns)
            settings["area.tile"] = f"{area} um2"
        if _fits(machine, settings):
            found[f"{rows}x{columns}"] = settings
    return found


def _engines(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return the arrays of the matrix engine, with the area of a cluster that has one."""
    engine = machine.cluster.matrix_engine if machine.cluster is not None else None
    if not isinstance(engine, MatrixEngine):
        return {}
    own = (engine.array_height, engine.array_width)
    names = {name: each for name, each in ENGINES.items() if each[:2] != own}
    found = {f"{own[0]}x{own[1]}": _engine(machine, (*own, engine.port_width), own)}
    found |= {name: _engine(machine, each, own) for name, each in names.items()}
    fitting = {name: each for name, each in found.items() if _fits(machine, each)}
    return dict(sorted(fitting.items(), key=lambda item: _elements(item[0])))


def _elements(name: str) -> int:
    height, _, width = name.partition("x")
    return int(height) * int(width)


def _engine(machine: Machine, array: tuple[int, int, int], own: tuple[int, int]) -> dict[str, Any]:
    height, width, port = array
    settings: dict[str, Any] = {
        "cluster.matrix_engine.array_height": height,
        "cluster.matrix_engine.array_width": width,
        "cluster.matrix_engine.port_width": f"{port} bit",
    }
    area = machine.area
    if area is not None and area.cluster is not None and area.plain_cluster is not None:
        engine = (area.cluster - area.plain_cluster) * height * width // (own[0] * own[1])
        settings["area.cluster"] = f"{area.plain_cluster + engine} um2"
    return settings


def _clocks(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return the clocks of clusters and link, with the powers of clusters that go with them."""
    cluster = machine.cluster
    if cluster is None:
        return {}
    own = cluster.clock.frequency
    told = machine.to_text()
    names = dict.fromkeys([*CLOCKS, told["cluster"]["clock"]["frequency"]])
    found = {}
    for name in names:
        settings: dict[str, Any] = {"cluster.clock.frequency": name}
        if machine.link is not None and machine.link.clock.frequency == own:
            settings["link.clock.frequency"] = name
        if not _fits(machine, settings):
            continue
        new = machine_with(machine, settings).cluster
        assert new is not None
        found[name] = settings | _powers(machine, new.clock.frequency, own)
    return found


def _powers(machine: Machine, clock: int, own: int) -> dict[str, Any]:
    energy = machine.energy.cluster if machine.energy is not None else None
    if energy is None or clock == own:
        return {}
    names = ("power", "plain_power", "cores_power", "engine_power")
    known = {name: getattr(energy, name) for name in names}
    return {
        f"energy.cluster.{name}": f"{power * clock // own} uW"
        for name, power in known.items()
        if power is not None
    }
