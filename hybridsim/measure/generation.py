"""What a generation takes, per phase and per token: the answer of :func:`hybridsim.generate`."""

from typing import Any, ClassVar

from pydantic import model_validator

from hybridsim._old_names import OldAttribute, renamed
from hybridsim.measure.answer import Answer, Document
from hybridsim.measure.interval import SpanInterval


def overhead_percent(latency: int, yardstick: int) -> float:
    """Return (latency - yardstick) / yardstick [%]."""
    return (latency - yardstick) * 100 / yardstick


class PhaseEnergy(Answer):
    """What one phase of a generation draws, all sequences together, with adapters and without."""

    total_pj: float
    """Work and static energy of the phase [pJ]."""
    yardstick_pj: float
    """The yardstick: the same for the network without adapters [pJ]."""
    per_token_pj: float
    """Total over tokens: those of the prompts, or those that decode generates [pJ]."""
    yardstick_per_token_pj: float
    """The yardstick: the same for the network without adapters [pJ]."""
    macs: int
    """Multiply-accumulates of linear layers, adapters and attention."""
    tops_per_watt: float
    """Two operations per multiply-accumulate, over the total [10^12 / J]."""
    yardstick_tops_per_watt: float
    """The yardstick: the same for the network without adapters."""
    component_aj: dict[str, int]
    """Part -> what its work draws [aJ]."""
    static_aj: dict[str, int]
    """Part -> what it draws for being there [aJ]."""
    yardstick_component_aj: dict[str, int]
    """The yardstick: what the work of each part draws without adapters [aJ]."""
    yardstick_static_aj: dict[str, int]
    """The yardstick: what each part draws for being there without adapters [aJ]."""
    not_counted: tuple[str, ...]
    """Kinds of parts that work, but whose energy is unknown: none of it is in here."""

    bare_pj: ClassVar[OldAttribute] = OldAttribute("yardstick_pj")
    bare_per_token_pj: ClassVar[OldAttribute] = OldAttribute("yardstick_per_token_pj")
    bare_tops_per_watt: ClassVar[OldAttribute] = OldAttribute("yardstick_tops_per_watt")
    bare_component_aj: ClassVar[OldAttribute] = OldAttribute("yardstick_component_aj")
    bare_static_aj: ClassVar[OldAttribute] = OldAttribute("yardstick_static_aj")

    @property
    def total_aj(self) -> int:
        """Work and static energy of the phase [aJ], exact."""
        return sum(self.component_aj.values()) + sum(self.static_aj.values())


class Phase(Answer):
    """What one phase of a generation takes, with adapters and without."""

    latency_ps: int
    """Start to end [ps]; of decode the mean of its tokens, rounded down."""
    yardstick_ps: int
    """The yardstick: the same for the network without adapters [ps]."""
    overhead_percent: float
    """(latency - yardstick) / yardstick [%]."""
    critical_path_share: dict[str, float]
    """What happens on the critical path, by action -> share of it, 0 to 1, largest first; of
    decode that of the token in the middle."""
    yardstick_critical_path_share: dict[str, float]
    """The yardstick: the same for the network without adapters."""
    energy: PhaseEnergy | None = None
    """What the phase draws; of decode all of its tokens. None where the machine does not tell."""
    interval: SpanInterval | None = None
    """How sure latency, yardstick and overhead are; of decode by the token in the middle, to which
    the mean is taken to be as sure in proportion. None where an earlier release did not ask."""

    bare_ps: ClassVar[OldAttribute] = OldAttribute("yardstick_ps")
    bare_critical_path_share: ClassVar[OldAttribute] = OldAttribute(
        "yardstick_critical_path_share"
    )

    @property
    def bound(self) -> str:
        """The action that takes most of the critical path."""
        return next(iter(self.critical_path_share), "nothing")


class Cache(Answer):
    """Kept keys and values at the end of a generation, all chips and sequences together."""

    total_bytes: int
    """All of them [bytes]."""
    outside_bytes: int
    """What of them is in the DRAM and fetched for every token [bytes]."""

    @property
    def where(self) -> str:
        """The memory that holds them: SRAM, DRAM, or both."""
        if not self.outside_bytes:
            return "SRAM"
        return "DRAM" if self.outside_bytes == self.total_bytes else "SRAM and DRAM"


class Generation(Document):
    """Equal sequences that run together, from the prompt to the last token."""

    hybridsim_version: str
    """The release that computed it."""
    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    strategy: str
    """The strategy's name."""
    prompt: int
    """Tokens of each prompt."""
    new: int
    """Tokens generated for each sequence; the first one comes with the prompt's own run."""
    sequences: int
    """Equal sequences that run together."""
    prefill: Phase
    """The prompt's own run, which gives the first token."""
    decode: Phase | None
    """The tokens after the first; None where only one token is generated."""
    token_ps: tuple[int, ...]
    """Time from token to token, for each but the first [ps]."""
    yardstick_token_ps: tuple[int, ...]
    """The yardstick: the same for the network without adapters [ps]."""
    token_pj: tuple[float, ...] = ()
    """What each token but the first draws, all sequences together [pJ]; empty if unknown."""
    yardstick_token_pj: tuple[float, ...] = ()
    """The yardstick: the same for the network without adapters [pJ]."""
    cache: Cache
    """Kept keys and values at the end."""
    notes: tuple[str, ...]
    """What a person should know, a line each."""
    inputs: dict[str, Any]
    """Machine, network and strategy as text with units."""

    batch: ClassVar[OldAttribute] = OldAttribute("sequences")
    scheduler: ClassVar[OldAttribute] = OldAttribute("strategy")
    bare_ps: ClassVar[OldAttribute] = OldAttribute("yardstick_ps")
    bare_token_ps: ClassVar[OldAttribute] = OldAttribute("yardstick_token_ps")
    bare_token_pj: ClassVar[OldAttribute] = OldAttribute("yardstick_token_pj")

    @model_validator(mode="before")
    @classmethod
    def _sequences_were_a_batch(cls, given: Any) -> Any:
        return renamed(given, {"batch": "sequences"})

    @property
    def interval_ps(self) -> tuple[int, int] | None:
        """The ends of the 90 % interval of :attr:`latency_ps`; None where they are unknown.

        Both phases at their ends at once, as the same kernels run in both.
        """
        ends = [(self.prefill, 1), *([(self.decode, len(self.token_ps))] if self.decode else [])]
        known = [(phase.interval, count) for phase, count in ends if phase.interval is not None]
        if len(known) < len(ends):
            return None
        low = sum(count * own.latency_low_ps for own, count in known)
        high = sum(count * own.latency_high_ps for own, count in known)
        return min(low, self.latency_ps), max(high, self.latency_ps)

    @property
    def time_to_first_token_ps(self) -> int:
        """The prompt's own run [ps]."""
        return self.prefill.latency_ps

    @property
    def latency_ps(self) -> int:
        """From the prompt to the last token [ps]."""
        return self.prefill.latency_ps + sum(self.token_ps)

    @property
    def yardstick_ps(self) -> int:
        """The yardstick: the same for the network without adapters [ps]."""
        return self.prefill.yardstick_ps + sum(self.yardstick_token_ps)

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens of all sequences over the whole time [1/s]."""
        return self.sequences * self.new * 1e12 / self.latency_ps

    @property
    def decode_tokens_per_s(self) -> float:
        """The same from the first token to the last [1/s]; 0 where there is only one."""
        taken = sum(self.token_ps)
        return self.sequences * len(self.token_ps) * 1e12 / taken if taken else 0.0

    @property
    def overhead_percent(self) -> float:
        """(latency - yardstick) / yardstick of the whole generation [%]."""
        return overhead_percent(self.latency_ps, self.yardstick_ps)

    def document(self) -> dict[str, Any]:
        """Return all of it as plain data, with the figures that follow from others."""
        derived = (
            "time_to_first_token_ps",
            "latency_ps",
            "yardstick_ps",
            "overhead_percent",
            "tokens_per_s",
            "decode_tokens_per_s",
        )
        ends = self.interval_ps
        found = {name: getattr(self, name) for name in derived}
        found["interval_ps"] = None if ends is None else [*ends]
        return self.model_dump(mode="json") | found

    def to_csv(self) -> str:
        """Return a row per token, units in the column names; the first comes with the prompt."""
        columns: dict[str, tuple[float, ...]] = {
            "latency_ps": (self.prefill.latency_ps, *self.token_ps),
            "yardstick_ps": (self.prefill.yardstick_ps, *self.yardstick_token_ps),
        }
        if self.prefill.energy is not None:
            columns["energy_pj"] = (self.prefill.energy.total_pj, *self.token_pj)
            columns["yardstick_energy_pj"] = (
                self.prefill.energy.yardstick_pj,
                *self.yardstick_token_pj,
            )
        lines = [",".join(["token", "past_tokens", *columns])]
        for i, row in enumerate(zip(*columns.values(), strict=True)):
            lines.append(",".join(map(str, (i, self.prompt + i, *row))))
        return "\n".join(lines) + "\n"
