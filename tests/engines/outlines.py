"""Random plans in outline, and two loops that share resources."""

from hypothesis import strategies as st

from hybridsim.plan import Loop, Mostly, Need, Outline, PlanBuilder, Resource, Step, Within
from hybridsim.work import delay
from tests.random_inputs import mostly_delay, resources

FEW = st.integers(1, 9) | st.integers(1, 10**9)


@st.composite
def own_needs(draw: st.DrawFn, place: int, size: int) -> list[Need | Within]:
    """Needs of a step in its own loop; some have none and run ahead without bound."""
    needs: list[Need | Within] = []
    for back in draw(st.lists(st.integers(0, 4), max_size=3)):
        if back or place:
            step = draw(st.integers(0, size - 1 if back else place - 1))
            needs.append(Within(step, back, room=back > 0))
    return needs


@st.composite
def other_needs(draw: st.DrawFn, before: list[Loop], count: int) -> list[Need | Within]:
    """Needs of single earlier tasks, and of earlier loops iteration by iteration."""
    needs: list[Need | Within] = []
    for loop in draw(st.lists(st.sampled_from(before), max_size=2)) if before else []:
        ratio = draw(st.integers(0, (loop.count - 1) // max(1, count - 1)))
        first = draw(st.integers(0, loop.count - 1 - ratio * (count - 1)))
        step = draw(st.integers(0, loop.size - 1))
        needs.append(Need(loop.task(step, first), ratio * loop.size))
    return needs


@st.composite
def mostly(draw: st.DrawFn, count: int) -> Mostly:
    first = draw(st.lists(FEW, max_size=min(2, count)))
    last = draw(st.lists(FEW, max_size=min(2, count - len(first))))
    return mostly_delay("work", draw(FEW), last, first)


@st.composite
def outlines(draw: st.DrawFn, most: int) -> Outline:
    builder, loops = PlanBuilder(draw(resources())), []
    held = st.lists(st.integers(0, len(builder.resources) - 1), max_size=2, unique=True)
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.integers(1, 5))
        counts = [loop.count for loop in loops]
        count = draw(
            st.sampled_from(counts) | st.integers(1, most) if counts else st.integers(1, most)
        )
        steps = [
            Step(
                draw(mostly(count)),
                tuple(draw(held)) if builder.resources else (),
                (*draw(own_needs(j, size)), *draw(other_needs(loops, count))),
            )
            for j in range(size)
        ]
        loops.append(builder.repeat(draw(st.sampled_from("ab")), steps, count))
    if draw(st.integers(0, 3)) == 0:
        by = len(builder.resources)
        swaps = {use: (use + 1) % by for use in range(by)}
        builder.again(builder.templates - 1, builder.templates - 1, "c", swaps)
    return builder.outline()


def competing(count: int, ratio: int = 1) -> PlanBuilder:
    """Two loops with room for two batches that share resources; the second reads the first."""
    builder = PlanBuilder((Resource("a", "x", 2), Resource("b", "y"), Resource("c", "y")))
    before: tuple[Need, ...] = ()
    for durations in ((7, 5, 3), (4, 9, 2)):
        steps = [
            Step(delay("1", durations[0]), (0,), (Within(2, 2, room=True), *before)),
            Step(mostly_delay("2", durations[1], (1,), (8, 8)), (1, 2), (Within(0),)),
            Step(delay("3", durations[2]), (2,), (Within(1),)),
        ]
        loop = builder.repeat("op", steps, count)
        before, count = (Need(loop.task(2, 0), ratio * loop.size),), count // ratio
    return builder
