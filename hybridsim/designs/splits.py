"""Analog or digital, layer by layer: which splits a design may choose, and where layers lie then.

As in LionHeart (Lammie et al., arXiv 2401.09420) layers go to digital arithmetic until what is
left on tiles is accurate enough, those first that cost the most accuracy; here accuracy is what
single layers predict, and a layer is worth what its weights take in digital arithmetic, so the
order is that of KL divergence per weight.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hybridsim.arch import USUAL_CLUSTER, Machine, machine_with
from hybridsim.designs.accuracy import Placement, Predictor
from hybridsim.mapping.kinds import kinds_of_layers, layers_on_clusters
from hybridsim.sweeps.accuracy import SEPARATOR
from hybridsim.sweeps.axes import Axis
from hybridsim.workload import Network

DIGITAL = "digital"
"""Name of the axis that says how many layers clusters compute."""
LAYERS = "mapping.layers"
"""What it sets."""
KEPT = (0.75, 0.5, 0.25, 0.125, 0.0)
"""Shares of the KL divergence of all layers on tiles at which a split is offered."""
TIME = "integration_time"


def digital_axis(
    machine: Machine, network: Network, predictor: Predictor, bits: int | None
) -> dict[str, dict[str, Any]]:
    """Return number of layers on clusters -> what that sets, from none to all.

    With several kinds of clusters each of them is offered. The tiles are those measured at the
    least noise.
    """
    measured = [own for own in predictor.conditions if own.adc_bits == bits]
    if not measured:
        return {}
    kl = min(measured, key=lambda own: own.output_noise).kl
    layers = network.static_linear_layers
    per_weight = {own.name: kl[own.name] / (own.in_features * own.out_features) for own in layers}
    ordered = sorted(per_weight, key=lambda name: -per_weight[name])  # stable: first layers first
    rules = dict(machine.mapping.layers)
    found = {"0": {LAYERS: rules}}
    for count in _counts([kl[name] for name in ordered]):
        for kind in (USUAL_CLUSTER, *machine.clusters):
            label = f"{count}" if kind == USUAL_CLUSTER else f"{count} on {kind}"
            found[label] = {LAYERS: rules | dict.fromkeys(ordered[:count], kind)}
    return found


def _counts(costs: Sequence[float]) -> list[int]:
    """Return how many layers, the dearest first, leave at most each share of the whole cost."""
    total, left, found = sum(costs), sum(costs), dict[int, None]()
    shares = list(KEPT)
    for count, cost in enumerate(costs, 1):
        left -= cost
        while shares and (left <= shares[0] * total or count == len(costs)):
            shares.pop(0)
            found[count] = None
    return list(found)


def placed_by(axes: Sequence[Axis]) -> list[Axis]:
    """Return the axes that change which layers are on tiles, or how long their tiles integrate."""

    def matters(path: str) -> bool:
        head, _, key = path.partition(".")
        return path == LAYERS or (head in ("tile", "tiles") and key.split(".")[-1] == TIME)

    return [axis for axis in axes if any(map(matters, axis.paths))]


def placements(axes: Sequence[Axis], machine: Machine, network: Network) -> dict[str, Placement]:
    """Return the values of some axes, joined -> where the layers lie.

    Raises:
        InputError: A pattern fits no layer, or a value makes no machine.
    """
    found = {}
    for places in product(*(range(len(axis)) for axis in axes)):
        settings: dict[str, Any] = {}
        for axis, place in zip(axes, places, strict=True):
            settings |= {p: v for p, v in axis.settings[place].items() if _of_machine(p)}
        labels = [axis.labels[place] for axis, place in zip(axes, places, strict=True)]
        found[SEPARATOR.join(labels)] = placement(network, machine_with(machine, settings))
    return found


def _of_machine(path: str) -> bool:
    return path.partition(".")[0] not in ("strategy", "adapters", "tokens", "network", "machine")


def placement(network: Network, machine: Machine) -> Placement:
    """Return where the layers of a network lie on a machine.

    Raises:
        InputError: A pattern fits no layer.
    """
    digital = layers_on_clusters(network, machine)
    kinds: Mapping[str, str] = {}
    if machine.tiles:
        kinds = kinds_of_layers(network, machine, digital)[0]
    return {
        own.name: None
        if own.name in digital
        else machine.tile_of(kinds.get(own.name, "")).integration_time
        for own in network.static_linear_layers
    }
