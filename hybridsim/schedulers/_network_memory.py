"""What of attention the on-chip SRAM holds, and what comes from the DRAM instead.

Source of the rules for kept keys and values: HARP (IEEE TPDS 2026, DOI
10.1109/TPDS.2026.3706975).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hybridsim.errors import CapacityError
from hybridsim.schedulers._base import Job
from hybridsim.schedulers._dataflow import Work
from hybridsim.units import ceil_div, format_bytes
from hybridsim.workload import Attention


@dataclass(frozen=True, slots=True)
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

    @classmethod
    def of(cls, job: Job, works: Sequence[Work]) -> "OnChip":
        """Return what the SRAM of a machine holds; everything where its size is not checked.

        Raises:
            CapacityError: Something does not fit, and there is no DRAM to hold it.
        """
        memory = job.machine.memory
        attentions = [work for work in works if isinstance(work.op, Attention)]
        if memory is None or memory.sram is None or not attentions:
            return cls(job.past)
        size = memory.sram.size
        found = _kept(job, attentions, size) if job.past else _passing(job, attentions, size)
        if found.outside and memory.dram is None:
            what = "keys and values" if job.past else "activations of one block"
            raise CapacityError(
                f"the {what} of {job.mapping.network.name} do not fit: "
                f"{job.machine.name} has {format_bytes(size)} of SRAM and no DRAM; raise "
                "memory.sram.size, or lower the tokens"
            )
        return found


def _passing(job: Job, attentions: Sequence[Work], size: int) -> OnChip:
    """Return what goes out and comes back, attention by attention."""
    outside = {}
    for work in attentions:
        too_much = _own_bytes(job, work) + _kept_bytes(job, work) - size
        if too_much > 0:
            outside[work.name] = 2 * too_much
    if not outside:
        return OnChip(job.past)
    note = (
        f"SRAM of {format_bytes(size)} is too small for {len(outside)} of {len(attentions)} "
        f"attentions: {format_bytes(sum(outside.values()))} pass the DRAM"
    )
    return OnChip(job.past, outside, notes=(note,))


def _kept(job: Job, attentions: Sequence[Work], size: int) -> OnChip:
    """Return which keys and values are fetched, and whose place they take."""
    each = [_own_bytes(job, work) + _kept_bytes(job, work) for work in attentions]
    if sum(each) <= size:
        return OnChip(job.past)
    stay = min(size // max(each), len(attentions))
    fetched = attentions[stay:]
    outside = {work.name: _kept_bytes(job, work) for work in fetched}
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
    return OnChip(job.past, outside, after, (note,))


def _own_bytes(job: Job, work: Work) -> int:
    """Return the size of queries and output."""
    return _bytes(job, 2 * work.tokens * work.op.out_features)


def _kept_bytes(job: Job, work: Work) -> int:
    """Return the size of keys and values."""
    assert isinstance(work.op, Attention)
    return _bytes(job, 2 * work.keys * work.op.kv_heads * work.op.head_dim)


def _bytes(job: Job, elements: int) -> int:
    return ceil_div(elements * job.machine.activation_bits, 8)
