"""Tables of states give the integers of laying out and executing every point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.engines import compiled, reference
from hybridsim.engines.lines import Lines
from hybridsim.engines.looped import Looped, changed
from hybridsim.errors import PlanError
from hybridsim.plan import Need, Outline, PlanBuilder, Resource, Step, Within
from hybridsim.units import Ints
from hybridsim.work import delay
from tests.engines import naive
from tests.engines.outlines import competing, outlines
from tests.engines.proofs import point_of, prices
from tests.random_inputs import delays, mostly_delay, times


def counts_of(looped: Looped, points: int) -> Ints:
    return np.repeat(np.array(looped.lengths, np.int64)[:, None], points, axis=1)


def assert_same(looped: Looped, time_ps: Ints, counts: Ints, run=compiled.run) -> None:
    """Compare with laying out each point, as far as its loops can be that long."""
    row = {work: number for number, work in enumerate(looped.works)}
    expected = []
    for point in range(time_ps.shape[1]):
        lengths = dict(zip(looped.lengths, counts[:, point].tolist(), strict=True))
        plan = changed(looped.outline, lengths).expand()
        rows = [row[work] for work in plan.works]
        expected.append(run(plan, point_of(time_ps[rows], point)).makespan)
    assert looped.makespans(time_ps, counts).tolist() == expected


def assert_rule(outline: Outline, seed: int, run=compiled.run) -> None:
    looped, rng = Looped(outline), np.random.default_rng(seed)
    works, plan = times(outline), outline.expand()
    assert looped.makespans(works[:, None]).tolist() == [run(plan, times(plan)).makespan]
    time_ps, counts = prices(np.minimum(works, 10**9), 6, seed), counts_of(looped, 6)
    assert_same(looped, time_ps, counts, run)
    longer = counts + rng.integers(0, 30, (len(counts), 1))
    try:
        assert_same(looped, time_ps, longer, run)
    except PlanError as error:
        assert "long enough" in str(error)  # noqa: PT017  # one loop reads another one


@given(outlines(most=9), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_short_loops_take_as_long_as_the_rule_says(outline: Outline, seed: int) -> None:
    assert_rule(outline, seed, naive.run if len(outline) < 60 else compiled.run)


@given(outlines(most=200), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_long_loops_take_as_long_as_when_laid_out(outline: Outline, seed: int) -> None:
    assert_rule(outline, seed)


def pipeline(count: int, buffers: int, units: int) -> Outline:
    """Weights first, then batches with room for a few, three servers, an odd first and last."""
    names = ("tile", "dma", "cores")
    builder = PlanBuilder(
        (*(Resource(name, name) for name in names), Resource("link", "l", units))
    )
    weights = builder.add("op", delay("load a", 40), (1, 3))
    steps = [
        Step(mostly_delay("mvm", 11, (7,)), (0,), (Within(3, 2, room=True),)),
        Step(mostly_delay("load x", 3, (2,)), (1, 3), (Within(2, buffers, room=True),)),
        Step(mostly_delay("xa", 9, (5,), (10,)), (2,), (Within(1), Within(0), Need(weights))),
        Step(mostly_delay("load y", 4, (1,)), (1, 3), (Within(0), Within(5, buffers, room=True))),
        Step(mostly_delay("ub", 8, (6,)), (2,), (Within(2), Within(3))),
        Step(mostly_delay("store z", 5, (4,)), (1, 3), (Within(4),)),
    ]
    loop = builder.repeat("op", steps, count)
    end = Need(loop.task(5, -1))
    builder.repeat(
        "next", [Step(delay("after", 13), (0,), (end,)), Step(delay("too", 2), (2,), (end,))], 1
    )
    return builder.outline()


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("buffers", [1, 2, 3])
def test_a_pipeline_of_any_length_and_prices(buffers: int, units: int) -> None:
    looped = Looped(pipeline(20, buffers, units))
    assert not looped.why_not
    rng = np.random.default_rng(buffers)
    time_ps = prices(times(looped.outline) * 1000, 400, buffers)
    assert_same(looped, time_ps, rng.integers(2, 60, (1, 400)))


@given(outlines(most=60), st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=12)
def test_points_on_a_line_take_as_long_as_each_of_them(
    outline: Outline, seed: int, step: int
) -> None:
    """Steps are small and times often equal, so that many lines meet where ends do."""
    looped, rng = Looped(outline), np.random.default_rng(seed)
    works = len(looped.works)
    time_ps = rng.integers(1, 60, (works, 3))
    growth = rng.integers(0, 4, (works, 3)) * rng.integers(0, 2, (works, 1))
    kind = np.sort(rng.integers(0, 3, 40))
    place = rng.integers(0, 10, 40) * step
    order = np.lexsort((place, kind))
    lines = Lines(growth, kind[order], place[order])
    if seed % 2:  # in any order
        lines = lines.taken(rng.permutation(40))
    counts = counts_of(looped, 3)
    found = looped.by_states(time_ps, counts, lines=lines)
    alone = looped.by_states(lines.times(time_ps), counts[:, lines.kind])
    assert found.tolist() == alone.tolist()


@pytest.mark.parametrize("buffers", [1, 2])
def test_long_pipelines_on_a_line(buffers: int) -> None:
    """From a tile that waits for the cores to one that they wait for, and where both are alike."""
    looped = Looped(pipeline(20, buffers, 1))
    time_ps = np.repeat(times(looped.outline)[:, None] * 10, 4, axis=1)
    tile = np.array([work.label == "mvm" for work in looped.works])
    growth = time_ps // 10 * tile[:, None]
    place = np.tile(np.arange(30), 4) - 8
    lines = Lines(growth, np.repeat(np.arange(4), 30), place)
    counts = np.array([[7, 30, 500, 501]])
    found = looped.by_states(time_ps, counts, lines=lines)
    assert found.tolist() == looped.makespans(lines.times(time_ps), counts[:, lines.kind]).tolist()


def test_what_repeats_itself_at_one_point_of_a_line_alone() -> None:
    """Two servers that know nothing of each other are as fast at the first point, not later."""
    builder = PlanBuilder((Resource("a", "a"), Resource("b", "b")))
    builder.repeat("op", [Step(delay("one", 10), (0,), (Within(0, 1),))], 40)
    builder.add("op", delay("head", 5), (1,))
    builder.repeat("op", [Step(delay("other", 10), (1,), (Within(0, 1),))], 40)
    looped = Looped(builder.outline())
    time_ps = times(looped.outline)[:, None]
    growth = np.array([[work.label == "other"] for work in looped.works]) * 1
    lines = Lines(growth, np.zeros(20, np.int64), np.arange(20))
    found = looped.by_states(time_ps, np.array([[400]]), lines=lines)
    assert found.tolist() == [5 + 400 * (10 + place) for place in range(20)]


def test_simpy_agrees() -> None:
    looped = Looped(pipeline(9, 2, 1))
    time_ps = prices(times(looped.outline), 10, 3)
    assert_same(looped, time_ps, np.random.default_rng(0).integers(2, 12, (1, 10)), reference.run)


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_loops_beside_each_other_share_units(ratio: int) -> None:
    looped = Looped(competing(600, ratio).outline())
    time_ps = prices(times(looped.outline), 30, ratio)
    assert_same(looped, time_ps, counts_of(looped, 30))


@pytest.mark.parametrize("units", [7, 8, 9, 13])
def test_as_many_tasks_run_at_once_as_there_are_units(units: int) -> None:
    """Of one resource, and of different lengths; a state has room for eight of them."""
    builder = PlanBuilder((Resource("pool", "pool", units),))
    builder.repeat("op", [Step(delay("work", own), (0,)) for own in (100, 270, 190)], 20)
    looped = Looped(builder.outline())
    assert_same(looped, prices(times(looped.outline), 6, 0), counts_of(looped, 6))


def states(looped: Looped) -> int:
    return sum(piece.states for piece in looped.pieces)


def test_more_iterations_and_prices_nearby_take_no_new_states() -> None:
    """What is repeated is added, not executed, so ten thousand times as long costs the same."""
    looped = Looped(pipeline(20, 2, 1))
    time_ps = prices(times(looped.outline) * 1000, 1, 0)
    looped.makespans(time_ps, np.array([[100]]))
    before = states(looped)
    found = looped.makespans(np.repeat(time_ps, 2, axis=1), np.array([[10**6, 10**6 + 1]]))
    assert states(looped) == before
    # the cores take 17,000 ps per batch and are the slowest
    assert np.diff(found).tolist() == [17_000]


def assert_grows_alone(builder: PlanBuilder, most: int) -> None:
    """Compare with laying out, and say that few of the instants were worked out."""
    looped = Looped(builder.outline())
    assert not looped.why_not
    assert_same(looped, times(looped.outline)[:, None], counts_of(looped, 1))
    assert states(looped) < most


@pytest.mark.parametrize("slow", [2, 50])
def test_a_slow_reader_falls_behind_and_is_jumped_over_all_the_same(slow: int) -> None:
    """Nothing bounds how far the first loop runs ahead of the second."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    back = Within(0, 1)
    loop = builder.repeat("fast", [Step(delay("1", 3), (0,), (back,))], 20_000)
    reads = Need(loop.first, 1)
    builder.repeat("slow", [Step(delay("2", 3 * slow), (1,), (back, reads))], 20_000)
    assert_grows_alone(builder, 1_000)


@pytest.mark.parametrize("quick", [1, 2, 4])
def test_a_reader_that_starts_late_catches_up(quick: int) -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y"), Resource("c", "z")))
    back = Within(0, 1)
    loop = builder.repeat("even", [Step(delay("1", 5), (0,), (back,))], 20_000)
    late = Need(builder.add("late", delay("wait", 40_000), (2,)))
    builder.repeat(
        "quick", [Step(delay("2", quick), (1,), (back, late, Need(loop.first, 1)))], 20_000
    )
    assert_grows_alone(builder, 1_000)


def test_a_reader_of_every_other_task_is_laid_out() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    steps = [Step(delay("1", 1), (0,), (Within(1, 1),)), Step(delay("2", 2), (0,), (Within(0),))]
    loop = builder.repeat("op", steps, 300)
    builder.repeat("op", [Step(delay("3", 3), (1,), (Need(loop.first, 1), Within(0, 1)))], 600)
    looped = Looped(builder.outline())
    assert "out of step" in looped.why_not
    assert_same(looped, times(looped.outline)[:, None], counts_of(looped, 1))


@pytest.mark.parametrize(
    "step",
    [
        Step(mostly_delay("a", 5, (1, 2), (3, 4)), (0,)),
        Step(delay("a", 5), (1,)),
        Step(delay("a", 5), (0, 0)),
        Step(delay("a", 2**61), (0,)),
        Step(delay("a", 5), (0,), (Need(1),)),
        Step(delay("a", 5), (0,), (Within(0),)),
    ],
)
def test_what_no_engine_can_run_is_refused(step: Step) -> None:
    builder = PlanBuilder((Resource("tile", "tile"),))
    builder.repeat("op", [step], 3)
    with pytest.raises(PlanError):
        Looped(builder.outline()).makespans(times(builder.outline())[:, None])


def test_states_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridsim.engines._frozen_states._LARGEST", 1 << 12)
    looped = Looped(pipeline(20, 2, 1))
    time_ps = prices(times(looped.outline) * 1000, 300, 1)
    assert_same(looped, time_ps, counts_of(looped, 300))


def test_layers_alike_are_one_piece() -> None:
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "x"), Resource("c", "y")))
    before: tuple[Need, ...] = ()
    for layer in range(6):
        steps = [
            Step(delay("1", 3), (layer % 2,), (Within(1, 2, room=True), *before)),
            Step(delay("2", 4), (2,), (Within(0),)),
        ]
        before = (Need(builder.repeat("op", steps, 50).task(1, -1)),)
    looped = Looped(builder.outline())
    assert sorted(piece.drawn.times for piece in looped.pieces) == [1, 5]
    assert_same(looped, prices(times(looped.outline), 20, 0), counts_of(looped, 20) + 7)


def test_what_is_fetched_ahead_may_outlast_the_layer() -> None:
    """Then the next layer is no piece of its own."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    end: tuple[Need, ...] = ()
    for _ in range(4):
        loop = builder.repeat("op", [Step(delay("work", 3), (0,), (Within(0, 1), *end))], 9)
        builder.add("op", delay("fetch", 5), (1,), [need.base for need in end])
        end = (Need(loop.task(0, -1)),)
    looped = Looped(builder.outline())
    assert len(looped.pieces) > 1
    assert_same(looped, np.array([[3, 3, 3], [5, 27, 100]]), counts_of(looped, 3))


def line_and_reader(need: Need, count: int = 1) -> Looped:
    """Twenty tasks of 10 ps on one line, and a loop of 1000 ps each beside it that reads them."""
    builder = PlanBuilder((Resource("a", "x"), Resource("b", "y")))
    builder.repeat("line", [Step(delay("1", 10), (0,), (Within(0, 1),))], 20)
    builder.repeat("other", [Step(delay("2", 30), (1,), (Within(0, 1),))], 20)
    builder.repeat("reader", [Step(delay("3", 1000), (), (need,))], count)
    return Looped(builder.outline())


@pytest.mark.parametrize(("read", "expected"), [(8, [1090, 1090]), (12, [1130, 1430])])
def test_a_task_of_the_later_half_counts_from_the_end(read: int, expected: list[int]) -> None:
    """Of 20 and of 50 iterations, the same one, or the one as many before the end."""
    looped = line_and_reader(Need(read))
    time_ps = np.repeat(times(looped.outline)[:, None], 2, axis=1)
    time_ps[[work.label == "2" for work in looped.works]] = 1
    assert looped.by_states(time_ps, np.array([[20, 50]])).tolist() == expected


def test_a_loop_of_two_reads_two_tasks() -> None:
    looped = line_and_reader(Need(3, 16), 2)
    time_ps = times(looped.outline)[:, None]
    assert looped.by_states(time_ps, counts_of(looped, 1)).tolist() == [20 * 10 + 1000]


def test_what_reads_on_in_the_next_loop_is_laid_out() -> None:
    looped = line_and_reader(Need(10, 10), 2)
    assert "out of step" in looped.why_not
    time_ps = times(looped.outline)[:, None]
    assert looped.makespans(time_ps, counts_of(looped, 1)).tolist() == [11 * 10 + 1000]


def test_an_outline_without_steps_takes_no_time() -> None:
    assert Looped(PlanBuilder(()).outline()).makespans(np.empty((0, 2), np.int64)).tolist() == [
        0,
        0,
    ]


def test_links_and_works_of_each_iteration_are_laid_out() -> None:
    builder = competing(20)
    builder.link(np.array([61]), np.array([4]))
    looped = Looped(builder.outline())
    assert "links" in looped.why_not
    assert_same(looped, prices(times(looped.outline), 5, 0), counts_of(looped, 5))
    with pytest.raises(PlanError, match="links"):
        looped.makespans(prices(times(looped.outline), 1, 0), counts_of(looped, 1) + 1)

    builder = PlanBuilder((Resource("a", "x"),))
    each = range(1, 31)
    builder.repeat("op", [Step(delays("1", each), (0,), (Within(0, back=1),))], 30)
    looped = Looped(builder.outline())
    assert "works" in looped.why_not
    assert looped.makespans(times(looped.outline)[:, None]).tolist() == [sum(each)]


def test_points_whose_ends_do_not_fit_64_bits_are_refused() -> None:
    """As when they are laid out: a little more per task, or an iteration more, is too much."""
    looped = Looped(pipeline(20, 2, 1))
    fits = np.full((len(looped.works), 1), 2**62 // (1 + 20 * 6 + 2) - 1000)
    assert_same(looped, fits, np.array([[20]]))
    for time_ps, count in ((fits + 2000, 20), (fits, 21)):
        with pytest.raises(PlanError, match="53 days"):
            assert_same(looped, time_ps, np.array([[count]]))
        with pytest.raises(PlanError, match="53 days"):
            looped.makespans(time_ps, np.array([[count]]))
