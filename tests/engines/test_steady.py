"""Jumping over what repeats gives the integers of executing every task."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.engines import fast, steady
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import place
from hybridsim.metrics.usage import usage
from hybridsim.plan import Mostly, Need, Outline, PlanBuilder, Resource, Step, Within
from hybridsim.schedulers import Job, make_scheduler
from tests.engines import naive
from tests.strategies import resources


@st.composite
def loops(draw: st.DrawFn, builder: PlanBuilder, most: int) -> None:
    """Append a loop with needs of every kind; some steps run ahead without bound."""
    size, count = draw(st.integers(1, 5)), draw(st.integers(1, most))
    held = st.lists(st.integers(0, len(builder.resources) - 1), max_size=2, unique=True)
    steps = []
    for j in range(size):
        needs: list[Need | Within] = []
        for back in draw(st.lists(st.integers(0, 4), max_size=3)):
            if back or j:
                step = draw(st.integers(0, size - 1 if back else j - 1))
                needs.append(Within(step, back, room=back > 0))
        if len(builder) and draw(st.booleans()):
            needs.append(Need(draw(st.integers(0, len(builder) - 1))))
        usual = draw(st.integers(1, 9) | st.integers(1, 10**9))
        last = draw(st.sampled_from([usual, 1, usual // 2 + 1]))
        uses = draw(held) if builder.resources else []
        steps.append(Step("work", tuple(uses), Mostly(usual, last), tuple(needs)))
    builder.repeat(draw(st.sampled_from("ab")), steps, count)


@st.composite
def outlines(draw: st.DrawFn, most: int) -> Outline:
    builder = PlanBuilder(draw(resources()))
    for _ in range(draw(st.integers(1, 4))):
        draw(loops(builder, most))
        if draw(st.integers(0, 4)) == 0:
            builder.stamp(builder.templates - 1, builder.templates - 1, "c", {})
    return builder.outline()


def assert_same(outline: Outline, run=fast.run) -> steady.Extent:
    """Compare with the full expansion, and return what was found."""
    plan = outline.expand()
    timeline, found = run(plan), steady.run(outline)
    assert found.makespan_ps == timeline.makespan
    assert found.ops == plan.ops
    for op, latency in enumerate(found.latency_ps.tolist()):
        own = plan.op == op
        if own.any():
            assert latency == timeline.end[own].max() - timeline.ready[own].min()
    assert found.busy_ps.tolist() == usage(plan, timeline)["busy_ps"].tolist()
    assert found.tasks == len(plan)
    return found


@given(outlines(most=9))
@settings(max_examples=400)
def test_short_loops_are_executed_as_the_rule_says(outline: Outline) -> None:
    assert_same(outline, naive.run)


@given(outlines(most=300))
@settings(max_examples=600)
def test_long_loops_end_where_full_expansion_ends(outline: Outline) -> None:
    assert_same(outline)


def test_long_loops_are_mostly_jumped_over() -> None:
    """A loop with room for two batches repeats soon, also where units and loops compete."""
    builder = PlanBuilder((Resource("a", "x", 2), Resource("b", "y"), Resource("c", "y")))
    for durations in ((7, 5, 3), (4, 9, 2)):
        steps = [
            Step("1", (0,), durations[0], (Within(2, 2, room=True),)),
            Step("2", (1, 2), Mostly(durations[1], 1), (Within(0),)),
            Step("3", (2,), durations[2], (Within(1),)),
        ]
        builder.repeat("op", steps, 5_000)
    found = assert_same(builder.outline())
    assert found.executed < 0.02 * found.tasks


def test_a_loop_that_runs_ahead_of_the_window_is_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    far = Within(1, back=40 * steady.WINDOW, room=True)
    builder.repeat("op", [Step("1", (0,), 1, (far,)), Step("2", (1,), 3, (Within(0),))], 400)
    found = assert_same(builder.outline())
    assert found.executed == found.tasks


def test_durations_that_differ_in_every_iteration_are_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"),))
    durations = np.arange(1, 301, dtype=np.int64)
    builder.repeat("op", [Step("1", (0,), durations, (Within(0, back=1),))], 300)
    assert assert_same(builder.outline()).makespan_ps == durations.sum()


def test_a_plan_without_tasks_takes_no_time() -> None:
    assert steady.run(PlanBuilder(()).outline()).makespan_ps == 0


LAYERS = [name for name in network_names() if name.startswith("layer")]


@pytest.mark.parametrize("unit", ["matrix_engine", "cores", "both"])
@pytest.mark.parametrize("scheduler", ["all_analog", "layer_serial", "token_parallel"])
@pytest.mark.parametrize("machine", machine_names())
@pytest.mark.parametrize("layer", LAYERS)
def test_bundled_layers(layer: str, machine: str, scheduler: str, unit: str) -> None:
    """However long, after at most 1,312 tasks (unit both) a layer repeats what it did."""
    network, parts = hybridsim.load(layer, machine, {"tile.count": "as_needed"})
    adapted = scheduler != "all_analog"
    for integration in (1_000, 128_000, 1_000_000):
        tile = parts.tile.model_copy(update={"integration_time": integration})
        mapping = place(network, parts.model_copy(update={"tile": tile}))
        for tokens, batch in ((7, 1), (128, 8), (1000, 8), (2049, 16), (3000, 1)):
            options = {"batch": batch, "unit": unit} if adapted else {}
            outline, _ = make_scheduler(scheduler, options).outline(Job(mapping, tokens))  # type: ignore[attr-defined]
            assert assert_same(outline).executed <= 1312


@pytest.mark.parametrize("name", ["mobilebert", "bert_base"])
def test_bundled_networks(name: str) -> None:
    network, parts = hybridsim.load(name, "ahwa_lora_2026")
    outline, _ = make_scheduler("token_parallel").outline(Job(place(network, parts), 320))  # type: ignore[attr-defined]
    assert_same(outline)
