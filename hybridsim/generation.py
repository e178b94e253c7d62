"""Text generation: the prompt at once, then token by token with kept keys and values."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from hybridsim._old_names import old_keywords, with_new_keys
from hybridsim._version import __version__
from hybridsim.arch import Machine
from hybridsim.certainty import span_interval
from hybridsim.engines import Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import place
from hybridsim.measure.critical_path import critical_share
from hybridsim.measure.energy import PJ
from hybridsim.measure.generation import Cache, Generation, Phase, PhaseEnergy, overhead_percent
from hybridsim.measure.interval import SpanInterval
from hybridsim.measure.tokens import Drawn, TokenRun, TokenRuns, drawn, together
from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import (
    CarriedOut,
    Job,
    NetworkStrategy,
    carry_out,
    make_strategy,
    named,
    strategy_class,
)
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.units import format_bytes
from hybridsim.work import price
from hybridsim.workload import Attention, Network

MOST_NEW = 2**16
"""The most tokens that are generated."""
MOST_SEQUENCES = 2**12
"""The most sequences that run together."""
DEFAULTS: dict[str, Any] = {
    "batch": 32,
    "unit": "best",
    "order": "best",
    "share_adapters": "best",
    "kept_over_link": True,
    "adapters_by_capacity": True,
}
"""Options of the strategy unless told otherwise. The batch is the fastest of 16, 32, 64, ... for
a prompt of 512 tokens of Llama-3.1-8B on llm_2026, with adapters and without."""


@old_keywords(scheduler="strategy", batch="sequences")
def generate(
    network: Network,
    machine: Machine,
    *,
    prompt: int = 512,
    new: int = 128,
    sequences: int = 1,
    strategy: NetworkStrategy | None = None,
    engine: str = "compiled",
) -> Generation:
    """Predict what equal sequences take together, with the adapters of a network and without.

    The encoder of an encoder-decoder reads the prompt; its decoder begins with one token.

    All prompts run together and give the first token; every further token is
    a run of its own over all that came before. Each of them is executed: nothing is interpolated.
    A sequence waits for its own token before the next one, so the runs follow each other.
    Sampling, and the way of the token from the last chip back to the first, cost nothing.

    Raises:
        CapacityError: The network does not fit the tiles, or keys and values fit nowhere.
        InputError: A number is out of range, the network is no decoder, or it is too long for it.
    """
    strategy = strategy or strategy_for({})
    _check(network, prompt, new, sequences)
    run = engine_by_name(engine)
    mapping, first = place(network, machine), prompt
    if network.has_source:
        mapping, first = replace(mapping, network=network.after_source(prompt)), 1
    job = Job(mapping, first, run, 0, sequences)
    cache = _cache(job, first + new - 1)
    hybrid = _measured(job, strategy, run, new)
    yardstick = hybrid
    if network.adapted_layers:
        yardstick = _measured(job.without_adapters(), strategy, run, new)
    return Generation(
        hybridsim_version=__version__,
        network=network.name,
        machine=machine.name,
        strategy=strategy.kind,
        prompt=prompt,
        new=new,
        sequences=sequences,
        prefill=_prefill(hybrid, yardstick, prompt * sequences, machine),
        decode=_decode(hybrid, yardstick, sequences, machine),
        token_ps=hybrid.token_ps,
        yardstick_token_ps=yardstick.token_ps,
        token_pj=tuple(drawn.total / PJ for drawn in hybrid.token_drawn),
        yardstick_token_pj=tuple(drawn.total / PJ for drawn in yardstick.token_drawn),
        cache=Cache(total_bytes=cache, outside_bytes=hybrid.outside),
        notes=(*_notes(network), *mapping.notes, *hybrid.notes),
        inputs={
            "network": network.to_text(),
            "machine": machine.to_text(),
            "strategy": named(strategy),
        },
    )


def strategy_for(options: dict[str, Any], kind: str = "network") -> NetworkStrategy:
    """Return the strategy of that name with the defaults of a generation, and some options.

    Raises:
        InputError: The strategy is for single layers, or has no such option.
    """
    if not issubclass(strategy_class(kind), NetworkStrategy):
        raise InputError(
            f"generate: {kind} leaves attention out; choose a strategy for whole networks such "
            "as network or il_xl_pipe"
        )
    given = with_new_keys(options, {"chunk": "batch"}, "option")  # before the default steps aside
    strategy = make_strategy(kind, DEFAULTS | given)
    assert isinstance(strategy, NetworkStrategy)
    return strategy


class GenerationTimes:
    """How long generations take on one machine, for requests of any length; cached.

    A token takes what the number of tokens before it says, whatever the prompt was, so that
    requests share their tokens. Times are those of the network as it is, adapters included.
    """

    @old_keywords(scheduler="strategy")
    def __init__(
        self,
        network: Network,
        machine: Machine,
        strategy: NetworkStrategy | None = None,
        engine: str = "compiled",
    ) -> None:
        self._network, self._strategy = network, strategy or strategy_for({})
        self._run = engine_by_name(engine)
        self._mapping = place(network, machine)
        self._runs: dict[tuple[int, int], TokenRuns] = {}
        self.prompt_ps = lru_cache(maxsize=None)(self._prompt_ps)
        """``(tokens, past, sequences)`` -> how long a pass of so many tokens of equal prompts
        takes, after ``past`` tokens of each [ps]; after some, attention is in the flash form, as
        other forms take up to ten times as long where keys almost fill a scratchpad."""
        self.token_ps = lru_cache(maxsize=None)(partial(self._after, 1))
        """``(past, sequences)`` -> how long a pass takes that gives each of equal sequences one
        token, after ``past`` tokens of each [ps]."""

    @old_keywords(batch="sequences")
    def times(self, prompt: int, new: int, sequences: int = 1) -> tuple[int, int]:
        """Return the time to the first token, and to the last one, of equal requests [ps].

        Raises:
            CapacityError: Keys and values, or the network, fit nowhere.
            InputError: A number is out of range, the network is no decoder, or too long for it.
        """
        self.check(prompt, new, sequences)
        first = self.prompt_ps(prompt, 0, sequences)
        return first, first + sum(self.token_ps(prompt + i, sequences) for i in range(new - 1))

    @property
    def passes(self) -> int:
        """How many different passes were simulated so far."""
        return self.prompt_ps.cache_info().currsize + self.token_ps.cache_info().currsize

    def check(self, prompt: int, new: int, sequences: int = 1) -> None:
        """Refuse a generation that cannot be.

        Raises:
            CapacityError: Keys and values fit nowhere.
            InputError: A number is out of range, the network is no decoder, or too long for it.
        """
        _check(self._network, prompt, new, sequences)
        if self._network.has_source:
            raise InputError(
                f"{self._network.name} reads a source sequence beside its own, which requests do "
                "not have; take a decoder alone"
            )
        _cache(self._job(1, 0, sequences), prompt + new - 1)

    def kept_bytes(self, tokens: int) -> int:
        """Return what keys and values of a sequence take on the chip that holds most of them."""
        return max(_kept_by_chip(self._job(1, 0, 1), tokens))

    @property
    def room_bytes(self) -> int | None:
        """What the DRAM of a chip holds of keys and values [bytes]; None if it has no limit."""
        memory = self._mapping.machine.memory
        return memory.dram.size if memory and memory.dram else None

    def longest(self, sequences: int, most: int) -> int:
        """Return the longest context up to ``most`` that so many sequences have room for."""
        room = self.room_bytes
        if room is None:
            return most
        fitting = range(1, most + 1)
        return max(1, bisect_right(fitting, room // sequences, key=self.kept_bytes))

    def scratchpad_bytes(self, tokens: int, past: int, sequences: int = 1) -> int:
        """Return the most that any op of a pass needs of a cluster's scratchpad."""
        strategy = self._strategy_of(tokens) if past else self._strategy
        schedule = strategy.schedule(self._job(tokens, past, sequences))
        needs = [layer.tcdm_bytes for layer in schedule.layers]
        return max([*needs, *(op.tcdm_bytes for op in schedule.ops)])

    def _prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        if past:
            return self._after(tokens, past, sequences)
        job = self._job(tokens, past, sequences)
        return carry_out(self._strategy.schedule(job), job.machine, self._run).makespan

    def _after(self, tokens: int, past: int, sequences: int) -> int:
        """Return how long some tokens of each sequence take, after so many [ps]."""
        runs = self._runs.get((tokens, sequences))
        if runs is None:
            job = self._job(tokens, 0, sequences)
            runs = TokenRuns(job, self._strategy_of(tokens), self._run, tokens)
            self._runs[tokens, sequences] = runs
        return runs.at(past).timeline.makespan

    def _strategy_of(self, tokens: int) -> NetworkStrategy:
        """Return the strategy for so many tokens of a sequence after others."""
        if tokens == 1:
            return self._strategy
        return self._strategy.model_copy(update={"flash": "always"})

    def _job(self, tokens: int, past: int, sequences: int) -> Job:
        return Job(self._mapping, tokens, self._run, past, sequences)


@dataclass(frozen=True)
class _Times:
    """A generation of one network, with adapters or without."""

    prefill_ps: int
    prefill: dict[str, float]
    token_ps: tuple[int, ...]
    token: dict[str, float]
    prompt: CarriedOut
    middle: TokenRun | None
    """The token in the middle; None where only one is generated."""
    prefill_drawn: Drawn | None
    token_drawn: tuple[Drawn, ...]
    """Of each token; empty where the machine does not tell."""
    outside: int
    """Bytes of keys and values that come from the DRAM for the last token."""
    notes: tuple[str, ...]


def _measured(job: Job, strategy: NetworkStrategy, run: Engine, new: int) -> _Times:
    """Execute the prompt, then every token."""
    pasts = range(job.tokens, job.tokens + new - 1)
    token, share, outside = [], {}, 0
    middle: TokenRun | None = None
    energies: list[Drawn] = []
    notes: dict[str, None] = {}
    runs = TokenRuns(job, strategy, run)
    if pasts:  # the longest first: what fits nowhere is refused before anything is run
        last = runs.at(pasts[-1]).schedule
        outside = _from_dram(last.plan)
        notes = dict.fromkeys(last.notes)
    for past in pasts:
        found = runs.at(past)
        token.append(found.timeline.makespan)
        if (taken := found.drawn()) is not None:
            energies.append(taken)
        if past == pasts[len(pasts) // 2]:
            share, middle = _shares(found.schedule.plan, found.timeline), found
    done = carry_out(strategy.schedule(job), job.machine, run)
    prompt, timeline = done.schedule, done.timeline
    notes = dict.fromkeys((*prompt.notes, *notes))
    return _Times(
        prefill_ps=timeline.makespan,
        prefill=_shares(prompt.plan, timeline),
        token_ps=tuple(token),
        token=share,
        prompt=done,
        middle=middle,
        prefill_drawn=drawn(job, prompt, timeline),
        token_drawn=tuple(energies),
        outside=outside,
        notes=tuple(notes),
    )


def _from_dram(plan: Plan) -> int:
    """Return the bytes of keys and values that a plan brings from the DRAM."""
    fetches = np.flatnonzero(plan.which(lambda work: (work.part, work.kind) == ("dram", "keep")))
    return sum(plan.works[plan.work[task]].shape[0] for task in fetches.tolist())


def _shares(plan: Plan, timeline: Timeline) -> dict[str, float]:
    """Return action -> share of the critical path, largest first."""
    table = critical_share(plan, timeline, "action")
    return {str(name): float(share) for name, share in table["share"].items()}


def _prefill(hybrid: _Times, yardstick: _Times, tokens: int, machine: Machine) -> Phase:
    return Phase(
        latency_ps=hybrid.prefill_ps,
        yardstick_ps=yardstick.prefill_ps,
        overhead_percent=overhead_percent(hybrid.prefill_ps, yardstick.prefill_ps),
        critical_path_share=hybrid.prefill,
        yardstick_critical_path_share=yardstick.prefill,
        energy=_energy(hybrid.prefill_drawn, yardstick.prefill_drawn, tokens),
        interval=span_interval(hybrid.prompt, yardstick.prompt, machine),
    )


def _decode(hybrid: _Times, yardstick: _Times, sequences: int, machine: Machine) -> Phase | None:
    count = len(hybrid.token_ps)
    if not count:
        return None
    mean, yardstick_mean = sum(hybrid.token_ps) // count, sum(yardstick.token_ps) // count
    both = [together(list(each.token_drawn)) for each in (hybrid, yardstick)]
    return Phase(
        latency_ps=mean,
        yardstick_ps=yardstick_mean,
        overhead_percent=overhead_percent(mean, yardstick_mean),
        critical_path_share=hybrid.token,
        yardstick_critical_path_share=yardstick.token,
        energy=_energy(both[0], both[1], count * sequences) if hybrid.token_drawn else None,
        interval=_middle(hybrid, yardstick, (mean, yardstick_mean), machine),
    )


def _middle(
    hybrid: _Times, yardstick: _Times, means: tuple[int, int], machine: Machine
) -> SpanInterval | None:
    """Return how sure the mean token is, by the one in the middle."""
    if hybrid.middle is None or yardstick.middle is None:
        return None
    own, against = (
        CarriedOut(each.schedule, price(each.schedule.plan.works, machine), each.timeline)
        for each in (hybrid.middle, yardstick.middle)
    )
    return span_interval(own, own if hybrid is yardstick else against, machine, means)


def _energy(hybrid: Drawn | None, yardstick: Drawn | None, tokens: int) -> PhaseEnergy | None:
    if hybrid is None or yardstick is None:
        return None
    return PhaseEnergy(
        total_pj=hybrid.total / PJ,
        yardstick_pj=yardstick.total / PJ,
        per_token_pj=hybrid.total / PJ / tokens,
        yardstick_per_token_pj=yardstick.total / PJ / tokens,
        macs=hybrid.macs,
        tops_per_watt=_tops_per_watt(hybrid),
        yardstick_tops_per_watt=_tops_per_watt(yardstick),
        component_aj=hybrid.work,
        static_aj=hybrid.static,
        yardstick_component_aj=yardstick.work,
        yardstick_static_aj=yardstick.static,
        not_counted=hybrid.not_counted,
    )


def _tops_per_watt(taken: Drawn) -> float:
    return 2 * taken.macs * PJ / taken.total if taken.total else 0.0


def _kept_by_chip(job: Job, tokens: int) -> list[int]:
    """Return the size of keys and values of so many tokens on each chip [bytes]."""
    network, machine = job.mapping.network, job.machine
    chips = structure_of(job).chips
    each = [0] * machine.chip_count
    for op in network.ops:
        if isinstance(op, Attention):
            keys = network.keys(op, 1, tokens - 1) * job.sequences
            each[chips[op.name]] += machine.bytes_of(keys * op.kept_features)
    return each


def _cache(job: Job, tokens: int) -> int:
    """Return the size of keys and values of so many tokens [bytes], after checking that they fit.

    Raises:
        CapacityError: A chip has no room for those of its blocks.
    """
    network, machine = job.mapping.network, job.machine
    each, memory = _kept_by_chip(job, tokens), machine.memory
    if memory is None or memory.dram is None or memory.dram.size is None:
        return sum(each)
    room = memory.dram.size + (memory.sram.size if memory.sram else 0)
    if max(each) > room:
        chip = f"chip {each.index(max(each))} of {machine.name}" if machine.chips else machine.name
        raise CapacityError(
            f"{network.name}: keys and values of {tokens} tokens of {job.sequences} sequences "
            f"take {format_bytes(max(each))} on {chip}, which has {format_bytes(room)} of SRAM "
            "and DRAM; lower the prompt, the new tokens or the sequences, or raise "
            "memory.dram.size"
        )
    return sum(each)


def _notes(network: Network) -> list[str]:
    heads = [op for op in network.static_linear_layers if op.block is None]
    notes = [f"not modelled: {each}" for each in network.not_modelled]
    if any(op.name == "lm_head" for op in heads):
        return notes
    free = f"{network.name} has no language model head: the scores of the next token are free"
    return [*notes, free]


def _check(network: Network, prompt: int, new: int, sequences: int) -> None:
    """Refuse what cannot be generated.

    Raises:
        InputError: A number is out of range, or the network is no decoder or too short for it.
    """
    limits = {"prompt": (prompt, MOST_TOKENS), "new": (new, MOST_NEW)}
    for name, (value, most) in (limits | {"sequences": (sequences, MOST_SEQUENCES)}).items():
        if not 1 <= value <= most:
            raise InputError(f"generate: {name}: found {value}; give 1 to {most}")
    if not network.remembers:
        raise InputError(
            f"generate: no attention of {network.name} is causal, so it generates nothing; "
            "take a decoder such as llama_3_2_1b_lm or gpt2"
        )
    longest = network.max_sequence_length
    if network.has_source:
        if longest is not None and max(prompt, 1 + new) > longest:
            raise InputError(
                f"generate: found a prompt of {prompt} and {new} new tokens; {network.name} "
                f"reads up to {longest} and writes as many; lower the prompt or the new tokens"
            )
    elif longest is not None and prompt + new > longest:
        raise InputError(
            f"generate: {prompt} tokens of prompt and {new} new ones are {prompt + new}; "
            f"{network.name} allows {longest}; lower the prompt or the new tokens"
        )
