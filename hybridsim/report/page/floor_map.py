"""The floor of a chip with a mesh: which tiles lie at which of its nodes.

A mesh spreads tiles evenly over its nodes in the order of their numbers
(:meth:`hybridsim.components.interconnect.Mesh.place`), and a placement says which numbers the
tiles of a layer have, exchanged for short ways or not. Tiles of a node are drawn side by side; the
clusters and the memory of a node are not drawn.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil, sqrt

from hybridsim.arch import Machine
from hybridsim.components.interconnect import Mesh
from hybridsim.mapping import place
from hybridsim.measure.result import Result
from hybridsim.specs import validate
from hybridsim.workload import Network

_GAP = 1.0
"""Room between two nodes, in tiles."""

Layers = frozenset[str]
"""Layers that have the same tiles."""


@dataclass(frozen=True, slots=True)
class FloorMap:
    """Nodes of a mesh, and the tiles at them."""

    mesh: Mesh
    tiles: int
    """Tiles of the chip."""
    of: dict[Layers, tuple[int, ...]]
    """Layers that work on the same tiles -> the numbers of these."""

    @property
    def side(self) -> int:
        """Tiles side by side in a node."""
        return ceil(sqrt(ceil(self.tiles / self.mesh.nodes)))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of all nodes, in tiles."""
        pitch = self.side + _GAP
        return self.mesh.columns * pitch - _GAP, self.mesh.rows * pitch - _GAP

    def corner(self, node: int) -> tuple[float, float]:
        """Return the upper left corner of a node: node = row x columns + column."""
        row, column = divmod(node, self.mesh.columns)
        pitch = self.side + _GAP
        return column * pitch, row * pitch

    def outline(self, layers: Layers) -> str:
        """Return the outline of the tiles of some layers as a path of SVG, tile by tile."""
        cells = []
        for tile in self.of[layers]:
            node = self.mesh.place(tile, self.tiles)
            first = ceil(node * self.tiles / self.mesh.nodes)
            x, y = self.corner(node)
            down, right = divmod(tile - first, self.side)
            cells.append(f"M{x + right:g} {y + down:g}h1v1h-1z")
        return "".join(cells)

    def boxes(self) -> list[dict[str, object]]:
        """Return the nodes to be drawn, each with its name, place and size."""
        found: list[dict[str, object]] = []
        for node in range(self.mesh.nodes):
            row, column = divmod(node, self.mesh.columns)
            x, y = self.corner(node)
            name = f"{row},{column}"
            found.append({"name": name, "x": x, "y": y, "w": self.side, "h": self.side})
        return found


def floor_map(machine: Machine | None, result: Result) -> FloorMap | None:
    """Return the floor of a run; None without a mesh, on several chips and with kinds of parts.

    The network is placed again, as the run placed it.
    """
    mesh = machine.network_on_chip if machine is not None else None
    if machine is None or not isinstance(mesh, Mesh):
        return None
    if machine.chip_count > 1 or machine.several or machine.mapping.layers:
        return None
    network = validate(Network, result.inputs["network"], "result", "inputs.network")
    placed = place(network, machine)
    users: dict[int, list[str]] = defaultdict(list)
    for layer in placed.layers:
        for tile in layer.tiles:
            users[tile].append(layer.name)
    members: dict[Layers, list[int]] = defaultdict(list)
    for tile, names in sorted(users.items()):
        members[frozenset(names)].append(tile)
    count = placed.tiles if machine.tile.count == "as_needed" else int(machine.tile.count)
    return FloorMap(mesh, count, {k: tuple(own) for k, own in members.items()})
