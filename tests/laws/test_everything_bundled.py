"""Laws of runs, over all that is bundled: each machine and variant, network and strategy, sampled.

``HYBRIDSIM_FUZZ=500 pytest tests/laws/test_everything_bundled.py`` takes that many samples.
"""

import os
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Machine, load_machine, machine_variants
from hybridsim.engines import engine as engine_by_name
from hybridsim.engines import makespan_ps
from hybridsim.errors import InputError
from hybridsim.library import machine_names, network_names, network_path
from hybridsim.measure.energy import energy_of_run
from hybridsim.measure.usage import usage
from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import Run, execute
from hybridsim.strategies import STRATEGIES, make_strategy
from hybridsim.work import price
from hybridsim.workload import Network, load_network

SAMPLES = int(os.environ.get("HYBRIDSIM_FUZZ", "2"))
MOST_LAYERS = 80
"""Networks of more static layers take seconds each."""
sampled = settings(max_examples=SAMPLES, deadline=None, derandomize=SAMPLES <= 2, database=None)


@cache
def network(name: str) -> Network:
    return load_network(network_path(name))


@cache
def machine(name: str) -> Machine:
    return load_machine(name)


@cache
def machines() -> list[str]:
    return [f"{name}:{variant}" if variant else name for name in machine_names()
            for variant in ("", *machine_variants(name))]  # fmt: skip


@cache
def networks() -> list[str]:
    return [n for n in network_names() if len(network(n).static_linear_layers) <= MOST_LAYERS]


@st.composite
def runs(draw: st.DrawFn) -> Run | str:
    """A run of something bundled, or the sentence that says why there is none."""
    names = (draw(st.sampled_from(pool)) for pool in (networks(), machines(), sorted(STRATEGIES)))
    work, on, strategy = names
    try:
        return execute(
            network(work), machine(on), make_strategy(strategy), draw(st.sampled_from((1, 6)))
        )
    except InputError as error:
        return str(error)


def most_at_once(plan: Plan, timeline: Timeline) -> list[int]:
    """The most tasks that hold each resource at one instant, counted naively from all ends."""
    found = [0] * len(plan.resources)
    holder = plan.holder
    for resource in range(len(plan.resources)):
        tasks = holder[plan.use == resource]
        ends = [(int(t), -1) for t in timeline.end[tasks]]
        events = sorted(ends + [(int(t), 1) for t in timeline.start[tasks]])
        level = 0
        for _, change in events:  # at one instant what ends makes room for what starts
            level += change
            found[resource] = max(found[resource], level)
    return found


@sampled
@given(run=runs())
def test_time_and_energy_add_up(run: Run | str) -> None:
    if isinstance(run, str):
        assert len(run) > 20
        return
    plan, timeline = run.schedule.plan, run.timeline
    table = usage(plan, timeline)
    units = np.array([resource.units for resource in plan.resources])
    assert (table["busy_ps"] + table["idle_ps"] == units * timeline.makespan).all()
    assert (np.array(most_at_once(plan, timeline)) <= units).all()
    data = ~plan.room
    assert (timeline.end[plan.need[data]] <= timeline.start[plan.user[data]]).all()
    found, told = energy_of_run(run.job, run.schedule, timeline), run.result.energy
    assert (found is None) == (told is None)
    if found is not None and told is not None:
        work = sum(told.component_aj.values())
        assert work == sum(told.op_aj.values()) == sum(found.by_task.tolist())
        assert told.total_aj == work + sum(told.static_aj.values())


@sampled
@given(run=runs())
def test_doubling_every_price_doubles_the_makespan(run: Run | str) -> None:
    if isinstance(run, str):
        return
    plan, prices = run.schedule.plan, run.prices.time_ps
    for engine in ("compiled", "reference"):
        doubled = makespan_ps(plan, 2 * prices, "online", engine_by_name(engine))
        assert doubled == 2 * makespan_ps(plan, prices, "online", engine_by_name(engine))


_PS = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}
_RATES = {
    "Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9, "B/s": 1, "kB/s": 10**3, "MB/s": 10**6,
    "GB/s": 10**9, "KiB/s": 2**10, "MiB/s": 2**20, "GiB/s": 2**30,
}  # fmt: skip


def slower(text: Any) -> Any:
    """The same machine, every time of it twice as long."""
    if isinstance(text, dict):
        return {key: slower(value) for key, value in text.items()}
    match = re.fullmatch(r"(\d+) (\S+)", text) if isinstance(text, str) else None
    if match and match[2] in _PS:
        return f"{2 * int(match[1])} {match[2]}"
    if match and match[2] in _RATES:
        rate = int(match[1]) * _RATES[match[2]]
        return f"{rate // 2} {'Hz' if match[2].endswith('Hz') else 'B/s'}"
    return text


@sampled
@given(run=runs())
def test_a_machine_at_half_speed_takes_twice_as_long_but_for_rounding(run: Run | str) -> None:
    """A price is rounded up to whole picoseconds once, and is 1 ps at least.

    So a task takes twice as long, or 1 ps less than that, and a run at most as many picoseconds
    less as it has tasks of such works on its longest way: a few in practice.
    """
    if isinstance(run, str):
        return
    plan, before = run.schedule.plan, run.prices.time_ps
    half = Machine.model_validate(slower(run.job.machine.to_text()))
    after = price(plan.works, half).time_ps
    lost = 2 * before - after
    assert ((lost == 0) | (lost == 1)).all()
    compiled = engine_by_name("compiled")
    first, second = (makespan_ps(plan, times, "online", compiled) for times in (before, after))
    assert 0 <= 2 * first - second <= int((lost[plan.work] == 1).sum())


def test_what_is_rounded_is_known() -> None:
    """Only transfers at a rate in bytes per second, and tasks without any work of their own."""
    for on in ("ahwa_lora_2026", "harp_2026"):
        run = execute(network("minilm_l6"), machine(on), make_strategy("xb_pipe"), 6)
        half = Machine.model_validate(slower(run.job.machine.to_text()))
        lost = 2 * run.prices.time_ps - price(run.prices.works, half).time_ps
        for work, time, ps in zip(run.prices.works, run.prices.time_ps, lost, strict=True):
            assert ps == 0 or time == 1 or work.part in ("dram", "chip_link"), work


@pytest.mark.parametrize("bad", ["gpt2", "bert_base"])
def test_the_pool_holds_the_usual_networks(bad: str) -> None:
    assert bad in networks()
