"""What of attention the on-chip SRAM holds, and what comes from the DRAM instead.

Source of the rules for kept keys and values: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975).
"""

from collections.abc import Sequence
from dataclasses import field, replace

from hybridsim.arch import Machine
from hybridsim.errors import CapacityError
from hybridsim.records import record
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import format_bytes
from hybridsim.workload import Attention, Linear


@record(frozen=True, slots=True)
class OnChip:
    """Which attentions find their operands in the SRAM.

    Without past tokens one attention at a time keeps its queries, keys, values and output there:
    4 x tokens x width elements. What does not fit goes to the DRAM and comes back. With past
    tokens every attention keeps its keys and values there, 2 x keys x width elements, beside
    2 x tokens x width of queries and output. If they do not all fit, the first ones that do stay,
    and each later one is fetched once the attention whose place it takes is done.
    """

    past: int
    outside: dict[str, int] = field(default_factory=dict)
    """Attention -> bytes that pass the DRAM channel for it."""
    after: dict[str, str] = field(default_factory=dict)
    """Attention -> the one whose place its keys and values take."""
    notes: tuple[str, ...] = ()
    """What a person should know of it, a line each."""
    adapters_outside: frozenset[str] = frozenset()
    """Layers whose adapters come from the DRAM."""
    weights_outside: frozenset[str] = frozenset()
    """Layers on clusters whose weights come from the DRAM."""

    @classmethod
    def of(cls, structure: NetworkStructure, machine: Machine, adapters: bool) -> "OnChip":
        """Return what the SRAM of each chip holds; everything where its size is not checked.

        With ``adapters`` those of a chip's layers take their room first, layer by layer as far as
        they fit.

        Raises:
            CapacityError: Something does not fit, and there is no DRAM to hold it, or it is more
                than the DRAM holds.
        """
        memory, given = machine.memory, _Given(structure, machine)
        found = cls(structure.of.past)
        if memory is None or memory.sram is None:
            return found
        by_chip: dict[int, list[FlowOp]] = {}
        for work in structure.works:
            by_chip.setdefault(structure.chips[work.name], []).append(work)
        for chip, own in sorted(by_chip.items()):
            part = _on_one_chip(given, own, memory.sram.size, adapters)
            _check_dram(given, part, chip)
            where = f"chip {chip}: " if machine.chip_count > 1 else ""
            found = found._with(part, where)
        return found

    def _with(self, other: "OnChip", where: str) -> "OnChip":
        return OnChip(
            self.past,
            self.outside | other.outside,
            self.after | other.after,
            self.notes + tuple(where + note for note in other.notes),
            self.adapters_outside | other.adapters_outside,
            self.weights_outside | other.weights_outside,
        )


@record(frozen=True, slots=True)
class _Given:
    """What is asked, and on which machine."""

    structure: NetworkStructure
    machine: Machine


def _on_one_chip(given: _Given, works: Sequence[FlowOp], size: int, adapters: bool) -> OnChip:
    """Return what the SRAM of a chip holds of adapters, then of attentions."""
    attentions = [work for work in works if isinstance(work.op, Attention)]
    outside: list[str] = []
    notes: tuple[str, ...] = ()
    # an attention at work comes before weights, which may be fetched again
    needs = [_own_bytes(given, work) + _kept_bytes(given, work) for work in attentions]
    held, weights = _weights(given, works, size - min(size, max(needs, default=0)))
    size -= held
    if weights:
        notes = (f"weights of {len(weights)} layers on clusters come from the DRAM",)
    if adapters:
        held, outside = _adapters(given, works, size)
        size -= held
        if outside:
            notes += (f"{len(outside)} adapters come from the DRAM",)
    found = OnChip(given.structure.of.past)
    if attentions:
        found = (
            _kept(given, attentions, size)
            if given.structure.of.past
            else _passing(given, attentions, size)
        )
    return replace(
        found,
        notes=notes + found.notes,
        adapters_outside=frozenset(outside),
        weights_outside=frozenset(weights),
    )


def _weights(given: _Given, works: Sequence[FlowOp], size: int) -> tuple[int, list[str]]:
    """Return what weights of layers on clusters take of the SRAM, and the layers that do not fit.

    Raises:
        CapacityError: Some do not, and there is no DRAM.
    """
    structure, held = given.structure, 0
    outside: list[str] = []
    for work in works:
        if not isinstance(work.op, Linear) or work.op.shared or structure.layers[work.name].tiles:
            continue
        need = structure.shape_of(work.name).element_bytes * work.op.weights
        if outside or held + need > size:
            outside.append(work.name)
        else:
            held += need
    memory = given.machine.memory
    if outside and (memory is None or memory.dram is None):
        raise CapacityError(
            f"{outside[0]}: its weights find no room in the {format_bytes(size)} of SRAM, and "
            f"{given.machine.name} has no DRAM; raise memory.sram.size, or leave it on tiles"
        )
    return held, outside


def _adapters(given: _Given, works: Sequence[FlowOp], size: int) -> tuple[int, list[str]]:
    """Return what adapters take of the SRAM, and the layers whose adapters do not fit."""
    structure, held = given.structure, 0
    outside: list[str] = []
    for work in works:
        adapter = structure.network.adapter(work.op)
        if adapter is None or given.machine.cluster is None or getattr(work.op, "shared", None):
            continue
        need = adapter.parameters * structure.shape_of(work.name).element_bytes
        if outside or held + need > size:
            outside.append(work.name)
        else:
            held += need
    return held, outside


def _check_dram(given: _Given, found: OnChip, chip: int) -> None:
    """Refuse what needs a DRAM that is not there, or more of it than there is.

    Raises:
        CapacityError: It does not fit.
    """
    memory, name = given.machine.memory, given.structure.network.name
    assert memory is not None
    assert memory.sram is not None
    what = "keys and values" if given.structure.of.past else "activations of one block"
    if found.outside and memory.dram is None:
        raise CapacityError(
            f"the {what} of {name} do not fit: "
            f"{given.machine.name} has {format_bytes(memory.sram.size)} of SRAM and no DRAM; "
            "raise memory.sram.size, or lower the tokens"
        )
    if memory.dram is None or memory.dram.size is None:
        return
    need = sum(found.outside.values())
    if need > memory.dram.size:
        where = (
            f"chip {chip} of {given.machine.name}" if given.machine.chips else given.machine.name
        )
        raise CapacityError(
            f"the {what} of {name} take {format_bytes(need)} outside of the "
            f"SRAM; {where} has {format_bytes(memory.dram.size)} of DRAM; raise memory.dram.size "
            "or chips.count, or lower the tokens or the batch"
        )


def _passing(given: _Given, attentions: Sequence[FlowOp], size: int) -> OnChip:
    """Return what goes out and comes back, attention by attention."""
    outside = {}
    for work in attentions:
        too_much = _own_bytes(given, work) + _kept_bytes(given, work) - size
        if too_much > 0:
            outside[work.name] = 2 * too_much
    if not outside:
        return OnChip(given.structure.of.past)
    note = (
        f"SRAM of {format_bytes(size)} is too small for {len(outside)} of {len(attentions)} "
        f"attentions: {format_bytes(sum(outside.values()))} pass the DRAM"
    )
    return OnChip(given.structure.of.past, outside, notes=(note,))


def _kept(given: _Given, attentions: Sequence[FlowOp], size: int) -> OnChip:
    """Return which keys and values are fetched, and whose place they take."""
    each = [_own_bytes(given, work) + _kept_bytes(given, work) for work in attentions]
    if sum(each) <= size:
        return OnChip(given.structure.of.past)
    stay = min(size // max(each), len(attentions))
    fetched = attentions[stay:]
    outside = {work.name: _kept_bytes(given, work) for work in fetched}
    places = max(1, stay)
    after = {
        work.name: attentions[index - places].name
        for index, work in enumerate(attentions)
        if index >= places and work.name in outside
    }
    note = (
        f"SRAM of {format_bytes(size)} keeps the keys and values of {stay} of {len(attentions)} "
        f"attentions; {format_bytes(sum(outside.values()))} come from the DRAM"
    )
    return OnChip(given.structure.of.past, outside, after, (note,))


def _own_bytes(given: _Given, work: FlowOp) -> int:
    """Return the size of queries and output."""
    return given.machine.bytes_of(2 * work.tokens * work.op.out_features)


def _kept_bytes(given: _Given, work: FlowOp) -> int:
    """Return the size of keys and values."""
    assert isinstance(work.op, Attention)
    elements = work.keys * work.op.kept_features
    return given.machine.bytes_of(given.structure.of.sequences * elements)
