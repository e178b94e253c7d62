"""Text generation: the prompt at once, then token by token with kept keys and values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hybridsim._old_names import old_keywords, with_new_keys
from hybridsim._version import __version__
from hybridsim.arch import Machine
from hybridsim.engines import Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import place
from hybridsim.measure.critical_path import critical_share
from hybridsim.measure.energy import PJ
from hybridsim.measure.generation import Cache, Generation, Phase, PhaseEnergy, overhead_percent
from hybridsim.measure.tokens import Drawn, TokenRuns, drawn, together
from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import (
    NETWORK_STRATEGIES,
    STRATEGIES,
    Job,
    NetworkStrategy,
    carry_out,
    make_strategy,
)
from hybridsim.units import ceil_div, format_bytes
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
    job = Job(place(network, machine), prompt, run, 0, sequences)
    cache = _cache(job, prompt + new - 1)
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
        prefill=_prefill(hybrid, yardstick, prompt * sequences),
        decode=_decode(hybrid, yardstick, sequences),
        token_ps=hybrid.token_ps,
        yardstick_token_ps=yardstick.token_ps,
        token_pj=tuple(drawn.total / PJ for drawn in hybrid.token_drawn),
        yardstick_token_pj=tuple(drawn.total / PJ for drawn in yardstick.token_drawn),
        cache=Cache(total_bytes=cache, outside_bytes=hybrid.outside),
        notes=(*_notes(network), *hybrid.notes),
        inputs={
            "network": network.to_text(),
            "machine": machine.to_text(),
            "strategy": strategy.model_dump(mode="json"),
        },
    )


def strategy_for(options: dict[str, Any], kind: str = "network") -> NetworkStrategy:
    """Return the strategy of that name with the defaults of a generation, and some options.

    Raises:
        InputError: The strategy is for single layers, or has no such option.
    """
    if kind in STRATEGIES and kind not in NETWORK_STRATEGIES:
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
        self._tokens: dict[int, Callable[[int], int]] = {}
        self._prefill = lru_cache(maxsize=None)(self._prefilled)

    @old_keywords(batch="sequences")
    def times(self, prompt: int, new: int, sequences: int = 1) -> tuple[int, int]:
        """Return the time to the first token, and to the last one, of equal requests [ps].

        Raises:
            CapacityError: Keys and values, or the network, fit nowhere.
            InputError: A number is out of range, the network is no decoder, or too long for it.
        """
        _check(self._network, prompt, new, sequences)
        _cache(self._job(prompt, sequences), prompt + new - 1)
        first = self._prefill(prompt, sequences)
        if sequences not in self._tokens:
            runs = TokenRuns(self._job(1, sequences), self._strategy, self._run)
            self._tokens[sequences] = lru_cache(maxsize=None)(
                lambda past: runs.at(past).timeline.makespan
            )
        token_ps = self._tokens[sequences]
        return first, first + sum(token_ps(prompt + i) for i in range(new - 1))

    def _prefilled(self, prompt: int, sequences: int) -> int:
        job = self._job(prompt, sequences)
        return carry_out(self._strategy.schedule(job), job.machine, self._run).makespan

    def _job(self, tokens: int, sequences: int) -> Job:
        return Job(self._mapping, tokens, self._run, 0, sequences)


@dataclass(frozen=True)
class _Times:
    """A generation of one network, with adapters or without."""

    prefill_ps: int
    prefill: dict[str, float]
    token_ps: tuple[int, ...]
    token: dict[str, float]
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
            share = _shares(found.schedule.plan, found.timeline)
    done = carry_out(strategy.schedule(job), job.machine, run)
    prompt, timeline = done.schedule, done.timeline
    notes = dict.fromkeys((*prompt.notes, *notes))
    return _Times(
        prefill_ps=timeline.makespan,
        prefill=_shares(prompt.plan, timeline),
        token_ps=tuple(token),
        token=share,
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


def _prefill(hybrid: _Times, yardstick: _Times, tokens: int) -> Phase:
    return Phase(
        latency_ps=hybrid.prefill_ps,
        yardstick_ps=yardstick.prefill_ps,
        overhead_percent=overhead_percent(hybrid.prefill_ps, yardstick.prefill_ps),
        critical_path_share=hybrid.prefill,
        yardstick_critical_path_share=yardstick.prefill,
        energy=_energy(hybrid.prefill_drawn, yardstick.prefill_drawn, tokens),
    )


def _decode(hybrid: _Times, yardstick: _Times, sequences: int) -> Phase | None:
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
    )


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


def _cache(job: Job, tokens: int) -> int:
    """Return the size of keys and values of so many tokens [bytes], after checking that they fit.

    Raises:
        CapacityError: A chip has no room for those of its blocks.
    """
    network, machine = job.mapping.network, job.machine
    chips = {layer.op.block: layer.chip for layer in job.mapping.layers}
    each = [0] * machine.chip_count
    for op in network.ops:
        if isinstance(op, Attention):
            keys = network.keys(op, 1, tokens - 1) * job.sequences
            elements = 2 * keys * op.kv_heads * op.head_dim
            each[chips.get(op.block, 0)] += ceil_div(elements * machine.activation_bits, 8)
    memory = machine.memory
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
    if any(op.name == "lm_head" for op in heads):
        return []
    return [f"{network.name} has no language model head: the scores of the next token are free"]


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
    if longest is not None and prompt + new > longest:
        raise InputError(
            f"generate: {prompt} tokens of prompt and {new} new ones are {prompt + new}; "
            f"{network.name} allows {longest}; lower the prompt or the new tokens"
        )
