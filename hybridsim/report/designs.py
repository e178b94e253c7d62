"""A design in words, for terminals and pages alike: headline, figures, limits, conflicts."""

from collections.abc import Iterator, Mapping

from hybridsim.arch import USUAL_CLUSTER
from hybridsim.designs import Design
from hybridsim.designs.answer import Standing, choice_at
from hybridsim.designs.splits import LAYERS
from hybridsim.report.quantities import name_of
from hybridsim.report.quantities import told as in_units


def headline(design: Design) -> str:
    """Return in a sentence what was found."""
    asked = design.asked
    what = f"{asked.question.network} on {asked.question.base}"
    if given := asked.question.settings:
        what += f" ({', '.join(f'{path} {value}' for path, value in given.items())})"
    if design.feasible is False:
        short = " and ".join(_missed(own) for own in design.standings() if own.met is False)
        return f"{what}: no design meets all limits; this one comes nearest, and misses {short}"
    values = ", ".join(in_units(name, value) for name, value in design.objectives.items())
    if design.feasible is None:
        return f"{what}: {values}; whether its accuracy is enough is not known"
    return f"{what}: {values}, within all limits" if asked.limits else f"{what}: {values}"


def figures(design: Design) -> Iterator[tuple[str, str]]:
    """Yield what the run of a design says of itself: name, and value in words."""
    run = design.result
    interval = run.interval.latency if run.interval is not None else ""
    yield "tokens", f"{run.tokens:,} of a sequence"
    yield "latency", in_units("latency_ps", run.latency_ps) + (f", {interval}" if interval else "")
    if run.covers is not None:
        yield "covers", run.covers.text
    if run.energy is not None:
        power = run.energy.total_pj / run.latency_ps
        yield "energy", f"{in_units('energy_pj', run.energy.total_pj)}, {power:.3g} W on average"
    if run.area is not None:
        yield "area", in_units("area_mm2", run.area.total_um2 / 1e6)
    yield "tiles", f"{run.tiles:,}; {in_units('tcdm_bytes', run.tcdm_bytes)} of TCDM at most"
    if digital := _digital(design):
        yield "on clusters", digital
    yield "bound by", run.bound.replace("_", " ")
    if (known := design.known) is not None:
        least = "at least " if known.stands_in else ""
        how = "tested" if known.tested else "predicted"
        yield (
            "accuracy",
            f"{least}{known.accuracy_percent:.1f} % [{known.low_percent:.1f}, "
            f"{known.high_percent:.1f}], {how}: {known.source}",
        )


def _digital(design: Design) -> str:
    """Return which layers clusters compute as the design chose, those of all blocks together."""
    machine, blocks = design.asked.machine, dict[str, list[str]]()
    for name, kind in (design.settings.get(LAYERS) or {}).items():
        if kind == USUAL_CLUSTER or kind in machine.clusters:
            block, _, own = name.partition(".")
            blocks.setdefault(own or block, []).append(block if own else "")
    return "; ".join(
        f"{own} of {', '.join(found)}" if any(found) else own for own, found in blocks.items()
    )


def choice_in_words(choice: Mapping[str, str]) -> str:
    """Return the values of a point in a line."""
    return ", ".join(f"{name} {label}" for name, label in choice.items())


def limit_cells(own: Standing) -> tuple[str, str, str, str, str]:
    """Return a limit, what a design has, the room that is left, and what relaxing it buys."""
    if own.value is None or own.slack is None or own.limit.constraint is None:
        return own.limit.text, "?", "no evidence", "", ""
    column, price = own.limit.constraint.column, own.price
    room = _room(own)
    room = room if own.slack >= 0 else f"misses by {room}"
    if price is None:
        return own.limit.text, in_units(column, own.value), room, "", ""
    gains = [
        f"{name_of(name)} {100 * (new - old) / (abs(old) or 1):+.1f} %"
        for name, (old, new) in price.gains.items()
        if abs(new - old) > 1e-3 * abs(old)
    ]
    return (
        own.limit.text, in_units(column, own.value), room, in_units(column, price.relaxed),
        ", ".join(gains) or "nothing",
    )  # fmt: skip


def _missed(own: Standing) -> str:
    """Return a limit that is missed, and by how much."""
    return f"{own.limit.text} by {_room(own)}"


def _room(own: Standing) -> str:
    assert own.slack is not None
    assert own.limit.constraint is not None
    if own.limit.of_accuracy:
        return f"{abs(own.slack):.2f} points"
    return in_units(own.limit.constraint.column, abs(own.slack))


def cautions(design: Design) -> Iterator[str]:
    """Yield what to know before believing a design."""
    known = design.known
    for own in design.standings():
        limit = own.limit.constraint
        if known is None or limit is None or not own.limit.of_accuracy or not own.met:
            continue
        below = limit.bound - known.low_percent
        if below > 0:
            yield (
                "accuracy meets its limit on average; its 95 % interval begins "
                f"{below:.1f} points below it"
            )
        if known.stands_in:
            yield "its accuracy was tested at more noise than its integration time leads to"
    if known is not None:
        yield f"output noise at an integration time is {design.asked.noise_source}"


def conflicts(design: Design) -> Iterator[str]:
    """Yield which limits conflict, and the design that comes nearest to each."""
    for own in design.conflicts:
        which = " and ".join(own.limits)
        yield (
            f"no point that was run meets {which}"
            if len(own.limits) == 1
            else f"conflict: no point that was run meets both {which}"
        )
        for limit, index in own.nearest.items():
            place = design.seen.place(index)
            values = ", ".join(
                f"{name_of(name)} {in_units(name, float(design.seen.column(name)[place]))}"
                for name in design.seen.columns
            )
            choice = choice_in_words(choice_at(design.asked, index))
            kept = "nearest" if len(own.limits) == 1 else f"nearest that keeps {limit}"
            yield f"{kept}: {values} ({choice})"


def sharing(design: Design) -> Iterator[str]:
    """Yield from which batch it pays to share tiles in time, an objective each."""
    for own in design.sharing:
        values = (own.digital, own.one, own.most)
        digital, one, most = (in_units(own.objective, value) for value in values)
        when = f"from batches of {own.pays_from:,} sequences"
        if own.pays_from is None:
            when = "at no batch"
        elif own.pays_from == 1:
            when = "for a single sequence already"
        beyond = own.pays_from is not None and own.pays_from > own.largest
        yield (
            f"{name_of(own.objective)}: sharing tiles in time pays {when}"
            f"{', extrapolated' if beyond else ''}; {digital} with layers on clusters, {one} with "
            f"tiles written for each sequence, {most} with tiles written for {own.largest:,}"
        )


def story(design: Design) -> str:
    """Return how the front was found, in a sentence."""
    own = design.story
    text = f"{own.runs:,} of {own.points:,} points were run, {own.left_out:,} left out by bounds"
    if own.checked:
        text += (
            f" ({own.checked} of these run after all: {own.wrong} would have been on the front)"
        )
    return f"{text}; {'interrupted, so this is the best so far' if own.interrupted else own.why}"
