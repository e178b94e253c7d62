"""Several kinds of tiles and of clusters on one machine, each told by what differs from the usual.

What a kind does not say is as the usual one has it, what it draws and takes included. To all that
works on one layer the machine looks as if it had the kinds alone that the layer is on.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from hybridsim.arch.mapping_rules import USUAL_CLUSTER, USUAL_TILE
from hybridsim.errors import did_you_mean
from hybridsim.specs import PlacedError, changed, shown
from hybridsim.units import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)
OF_TILES = ("tile", "periphery")
"""Parts of works that a kind of tiles does."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_WORDS = ("tile", "tiles", "cluster", "clusters")


AnyMachine = Any
"""A machine, whose file imports this one."""


def kind_of(usual: AnySpec, kinds: Mapping[str, Any], sort: str, place: str) -> AnySpec:
    """Return a kind by its name, "" for the usual one; one that says nothing is as that.

    Raises:
        PlacedError: It is no such Spec.
    """
    if not sort or not kinds.get(sort):
        return usual
    return changed(usual, kinds[sort], f"{place}.{sort}")


def seen(machine: AnyMachine, tile: str, cluster: str) -> AnyMachine:
    """Return the machine as if a kind of tiles and a kind of clusters were all that it has."""
    if not machine.several:
        return machine
    update: dict[str, Any] = {"tiles": {}, "clusters": {}}
    update["tile"] = machine.tile_of(tile)
    update["cluster"] = machine.cluster_of(cluster)
    energy, area = machine.energy, machine.area
    if energy is not None:
        own = {"tile": energy.kind("tile", tile), "cluster": energy.kind("cluster", cluster)}
        update["energy"] = energy.model_copy(update={**own, "tiles": {}, "clusters": {}})
    if area is not None:
        update["area"] = area.of_kinds(tile, cluster)
    return machine.model_copy(update=update)


def check_kinds(machine: AnyMachine) -> None:
    """Refuse kinds that are none, that have no name, or that rules do not know.

    Raises:
        PlacedError: As said.
    """
    _check_names(machine)
    if machine.clusters and machine.cluster is None:
        raise PlacedError("clusters", "differ from nothing; a machine with a cluster would do")
    for name in machine.tiles:
        _check_tile(machine, name)
    for name in machine.clusters:
        machine.cluster_of(name)
    _check_told(machine)
    _check_rules(machine)


def _check_names(machine: AnyMachine) -> None:
    for place, names in (("tiles", machine.tiles), ("clusters", machine.clusters)):
        for name in names:
            if not _NAME.fullmatch(name) or name in _WORDS:
                problem = "a name of small letters, digits and _ would do, other than "
                raise PlacedError(place, f"found {shown(name, 31)}; {problem}{', '.join(_WORDS)}")
    for name in machine.tiles:
        if name in machine.clusters:
            raise PlacedError(f"clusters.{name}", "is the name of tiles too; another would do")


def _check_tile(machine: AnyMachine, name: str) -> None:
    tile, usual = machine.tile_of(name), machine.tile
    if tile.sharing != usual.sharing:
        problem = f"found {tile.sharing}; {usual.sharing}, as tile.sharing says, would do"
        raise PlacedError(f"tiles.{name}.sharing", problem)
    if machine.chip_count > 1:
        problem = "several kinds of parts are modelled on a single chip; chips: null would do"
        raise PlacedError(f"tiles.{name}", problem)


def _check_told(machine: AnyMachine) -> None:
    """Refuse energies and areas of kinds that are not there or no such terms."""
    for section, spec in (("energy", machine.energy), ("area", machine.area)):
        if spec is None:
            continue
        for group, known in (("tiles", machine.tiles), ("clusters", machine.clusters)):
            for name in getattr(spec, group):
                if name not in known:
                    raise PlacedError(f"{section}.{group}.{name}", _unknown(name, known))
                if section == "energy":
                    spec.kind(group.removesuffix("s"), name)


def _check_rules(machine: AnyMachine) -> None:
    clusters = (USUAL_CLUSTER, *machine.clusters)
    there = clusters if machine.cluster is not None else ()
    for key, known in (("layers", (USUAL_TILE, *machine.tiles, *there)), ("adapters", there)):
        for pattern, kind in getattr(machine.mapping, key).items():
            if kind not in known:
                place = f"mapping.{key}.{pattern[:60]}"
                raise PlacedError(place, f"found {shown(kind, 40)}; {_unknown(kind, known)}")


def _unknown(name: str, known: Any) -> str:
    names = ", ".join(known) or "nothing"
    return f"the machine has no such kind{did_you_mean(name, known)}; {names} would do"


def taken_as_usual(machine: AnyMachine) -> tuple[str, ...]:
    """Return which kinds are told nothing of, so that they draw and take what the usual one does.

    One line for energies and one for areas; nothing where the usual one is unknown as well.
    """
    found = []
    said = (
        ("energy", "draw what the usual kind does", machine.energy),
        ("area", "be as large as the usual kind", machine.area),
    )
    for section, alike, spec in said:
        names = [
            f"{group}.{name}"
            for group, usual in (("tiles", "tile"), ("clusters", "cluster"))
            if spec is not None and getattr(spec, usual) is not None
            for name in getattr(machine, group)
            if name not in getattr(spec, group)
        ]
        if names:
            found.append(f"{section} says nothing of {', '.join(names)}: taken to {alike}")
    return tuple(found)


def sorts(machine: AnyMachine, of_tiles: bool) -> Iterator[str]:
    """Yield the names of all kinds of tiles, or of clusters: "" for the usual one, first."""
    if of_tiles or machine.cluster is not None:
        yield ""
    yield from machine.tiles if of_tiles else machine.clusters
