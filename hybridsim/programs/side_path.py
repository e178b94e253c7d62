"""The sparse digital side path of a layer on a cluster's cores, beside its tile and its adapter.

Outputs are dealt to cores once, so that each has about as many weights. For each of its outputs a
core keeps the sums of a block of tokens in registers, and for every weight of that output loads
index and weight, forms an address, and adds weight x input for the tokens of the block. Either
every token by itself, from X as it lies (``plain``), or a SIMD word of tokens at a time from X^T,
which the cores make first, as they turn the result back after (``turned``).

The instruction counts are **assumed**: read off the loop, not measured. With indirection streams
(``indirection``) a weight takes 1 / 0.8 cycles per word of tokens instead: the utilization of 80 %
that Scheffler et al. measured for sparse-dense products in fp64 (*Indirection stream semantic
register architecture*, DATE 2021, arXiv 2011.08070); that it holds for SIMD words is assumed. The
cores of the bundled machines have no such streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hybridsim.arch import Cluster, Machine
from hybridsim.components.cores import Cores
from hybridsim.errors import UnsupportedError
from hybridsim.programs.lora_energy import vector_aj
from hybridsim.units import ceil_div

Loop = Literal["plain", "turned", "indirection"]
"""How the cores compute it."""
SUMS = 16
"""Registers that hold sums, of 32; the others hold inputs, weights and streams. Assumed."""
PER_OUTPUT = 4
"""Instructions around an output beside its loads and stores: pointers and a count. Assumed."""
PER_WEIGHT = 4
"""Instructions of a weight beside its products: load index, load weight, two for the address.
Assumed."""
PER_WORD = 2
"""Instructions per weight and word of tokens: load the input, multiply and add. Assumed."""
INDEX_BYTES = 2
"""An index of an input, and an offset of an output."""


@dataclass(frozen=True, slots=True)
class SidePathCost:
    """What the side path of one layer takes for one batch, and what its tile takes meanwhile."""

    loop: Loop
    cores_ps: int
    """The cores' time."""
    moved_ps: int
    """Bringing weights and indices from memory."""
    tile_ps: int
    """The layer's MVMs, which the cores need not wait for."""
    moved_bytes: int
    energy_aj: int
    """Of cores and transfers."""
    tile_aj: int
    """Of the layer's MVMs."""

    @property
    def least_added_ps(self) -> int:
        """What it adds to the layer where it runs beside the tile: nothing where it is shorter."""
        return max(0, self.cores_ps + self.moved_ps - self.tile_ps)

    @property
    def most_added_ps(self) -> int:
        """What it adds where it waits for the tile."""
        return self.cores_ps + self.moved_ps


def dealt(per_output: Sequence[int], cores: int) -> tuple[int, int]:
    """Return weights and outputs of the busiest core: the largest outputs go first, each to the
    core with the fewest weights so far."""
    loads = [(0, 0)] * cores
    for weights in sorted((w for w in per_output if w), reverse=True):
        i = min(range(cores), key=loads.__getitem__)
        loads[i] = (loads[i][0] + weights, loads[i][1] + 1)
    return max(loads)


def side_path_cycles(
    cores: Cores, weights: int, outputs: int, tokens: int, lanes: int, loop: Loop
) -> int:
    """Return the cycles of the busiest core, which has so many weights in so many outputs.

    ``lanes`` are the tokens of a word: 1 for the plain loop.
    """
    whole, rest = divmod(ceil_div(tokens, lanes), SUMS)
    total = int(cores.barrier)
    for words, times in ((SUMS, whole), (rest, 1 if rest else 0)):
        around = outputs * (2 * words + PER_OUTPUT + cores.loop_iteration)
        if loop == "indirection":
            inner = ceil_div(5 * weights * words, 4)
        else:
            inner = weights * (PER_WORD * words + PER_WEIGHT + cores.loop_iteration)
        total += times * (around + inner)
    return total


def side_path_cost(
    machine: Machine,
    in_features: int,
    out_features: int,
    per_output: Sequence[int],
    tokens: int,
    indirection: bool = False,
) -> SidePathCost:
    """Return what the side path of a layer takes for a batch of ``tokens``.

    X is in the scratchpad, where the layer's adapter needs it too, and what comes out is added
    there to Y.

    Args:
        machine: A machine with a cluster.
        in_features: Of the layer.
        out_features: Of the layer.
        per_output: Weights that every output has in the side path.
        tokens: Of the batch.
        indirection: Whether the cores have streams that follow indices.

    Raises:
        UnsupportedError: The machine has no cluster, or does not tell what its parts draw.
    """
    cluster, energy = machine.cluster, machine.energy
    if cluster is None or energy is None or energy.tile is None or energy.cluster is None:
        raise UnsupportedError(
            f"{machine.name}: a cluster, and a section energy: with tile: and cluster:, would do "
            "for a side path"
        )
    loop, cycles = _fastest(cluster, in_features, out_features, per_output, tokens, indirection)
    size = sum(per_output) * (cluster.element_bytes + INDEX_BYTES)
    size += (out_features + 1) * INDEX_BYTES
    cores_ps, moved_ps = int(cluster.to_ps(cycles)), int(machine.transfer_ps(size))
    spec = energy.cluster
    drawn = ((spec.cores_power if spec.by_unit else spec.power) or 0) * cores_ps
    drawn += ((spec.dma_byte or 0) + (spec.tcdm_byte or 0)) * size
    drawn += 0 if spec.by_unit else (spec.power or 0) * moved_ps
    drawn += int(energy.link.transfer_aj(size, moved_ps)) if energy.link else 0
    return SidePathCost(
        loop, cores_ps, moved_ps, int(machine.tile.mvm_ps(in_features, out_features, tokens)),
        size, drawn, tokens * vector_aj(machine, energy.tile, in_features, out_features),
    )  # fmt: skip


def _fastest(
    cluster: Cluster,
    in_features: int,
    out_features: int,
    per_output: Sequence[int],
    tokens: int,
    indirection: bool,
) -> tuple[Loop, int]:
    """Return the faster loop and its cycles."""
    cores, precision = cluster.cores, cluster.precision
    weights, outputs = dealt(per_output, cores.count)
    lanes = cores.lanes(precision) if cores.packed_simd else 1
    found: list[tuple[int, Loop]] = []
    plain = side_path_cycles(cores, weights, outputs, tokens, 1, "plain")
    found.append((plain, "plain"))
    turns = int(cores.transpose_cycles(tokens * out_features, precision))
    if cluster.x_layout == "token_major":
        turns += int(cores.transpose_cycles(tokens * in_features, precision))
    by_word: Loop = "indirection" if indirection else "turned"
    words = side_path_cycles(cores, weights, outputs, tokens, lanes, by_word)
    found.append((words + turns, by_word))
    cycles, loop = min(found)
    return loop, cycles
