"""What every strategy's plan says of works, on networks that together have all kinds of ops."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim.mapping import place
from hybridsim.strategies import STRATEGIES, Job, NetworkStrategy, make_strategy
from hybridsim.work import price
from tests.carried_out import carried_out

CASES = [("minilm_l6", "ahwa_lora_2026"), ("gpt2", "harp_2026:gpt2")]
WHOLE_NETWORKS = [name for name, kind in STRATEGIES.items() if issubclass(kind, NetworkStrategy)]
CUT = [name for name in WHOLE_NETWORKS if name not in ("serial", "il_par", "il_pipe")]
"""Strategies that pass a network through in batches."""
FIXED = [name for name in STRATEGIES if name not in ("auto", "split_cores")]
"""Strategies that can be told all that they would decide by times; ``split_cores`` takes the
faster unit of each layer."""
COLUMNS = ("work", "use_first", "use", "need_first", "need", "room", "op", "item")


@lru_cache
def job(network: str, machine: str, path: str = "", value: str = "") -> Job:
    loaded = hybridsim.load(network, machine, {path: value} if path else {})
    return Job(place(*loaded), 24)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_works_are_distinct_done_and_priced(strategy: str, case: tuple[str, str]) -> None:
    given = job(*case)
    plan = make_strategy(strategy).schedule(given).plan
    assert len(set(plan.works)) == len(plan.works) < len(plan)
    assert set(plan.work.tolist()) == set(range(len(plan.works)))
    found = price(plan.works, given.machine)
    assert [found.of(work) for work in plan.works] == found.time_ps.tolist()


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in WHOLE_NETWORKS])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_an_outline_has_the_works_of_its_plan(strategy: str, case: tuple[str, str]) -> None:
    outline = make_strategy(strategy).outline(job(*case)).outline  # type: ignore[attr-defined]
    assert len(set(outline.works)) == len(outline.works)
    assert set(outline.works) >= set(outline.expand().works)


def decided(strategy: str) -> dict[str, Any]:
    """Return options that leave nothing to decide by times."""
    if strategy in WHOLE_NETWORKS:
        batch = {"batch": 8} if strategy in CUT else {}
        return {"keep_adapters": "batch", "dispatch": "online", **batch}
    return {} if strategy == "all_analog" else {"batch": 8}


@pytest.mark.parametrize("strategy", FIXED)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("tile.integration_time", "2 us"),
        ("cluster.clock.frequency", "50 MHz"),
        ("link.width", "2 B/cycle"),
    ],
)
def test_a_slower_machine_is_the_same_plan_at_other_prices(
    strategy: str, path: str, value: str
) -> None:
    case = CASES[strategy in WHOLE_NETWORKS]
    jobs = [job(*case), job(*case, path, value)]
    chosen = make_strategy(strategy, decided(strategy)).decide(jobs[0])
    plan, other = (chosen.lay_out(each).plan for each in jobs)
    assert plan.works == other.works
    assert (plan.resources, plan.ops) == (other.resources, other.ops)
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(plan, column), getattr(other, column), column)
    times = [carried_out(plan, each.machine).makespan for each in jobs]
    without_cluster = strategy == "all_analog" and path != "tile.integration_time"
    assert times[0] == times[1] if without_cluster else times[0] < times[1]
