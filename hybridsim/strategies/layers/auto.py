"""Automatic balance: the best batch, unit, order and overlap for each layer of a network."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.decisions import LayerDecisions, Shape, one_by_one, shape_of
from hybridsim.strategies.layers.named import CrossLayer, TokenParallel
from hybridsim.strategies.layers.options import AllAnalog, LayerStrategy, PipelinedStrategy
from hybridsim.units import format_ps

if TYPE_CHECKING:  # and where it is used: every run imports this file, and searches next to never
    from hybridsim.strategies.layers.search import Found


class Auto(LayerStrategy):
    """Tries the choices of all strategies on the engine, and takes the best for each layer.

    Every different layer is run on its own with all candidates that a lower bound does not rule
    out. Then whole networks are compared: layer after layer, with and without fetching the next
    weights ahead, and streamed. Equal inputs give equal decisions.
    """

    kind: Literal["auto"] = "auto"
    across_layers: bool = True
    """Whether layers may be streamed, or only run one after the other."""

    def without_adapters(self) -> AllAnalog:
        """Return all-analog layers, streamed where this may stream."""
        return AllAnalog(stream=self.across_layers)

    def decide(self, job: Job) -> LayerDecisions:
        """Return the best combination.

        A job that carries no engine gets the fastest batches, with an early start, one layer after
        the other.

        Raises:
            CapacityError: Not a single token of a layer fits the scratchpad.
        """
        if job.engine is None:
            return TokenParallel(unit="best", order="best", early_xa=True).decide(job)
        found = best_of_layers(job)
        if not found:
            return self.without_adapters().decide(job)
        batchings = {shape: own.batching for shape, own in found.items()}
        one_after_other = [
            ("layer after layer", one_by_one(job, batchings)),
            ("weights fetched ahead", one_by_one(job, batchings, prefetch=True)),
        ]
        tried = [*one_after_other, *self._streams(job)]
        timed = [
            (job.run_ps(own.draft(job).outline.expand()), i) for i, (_, own) in enumerate(tried)
        ]
        least, index = min(timed)
        name, best = tried[index]
        others = [(time, tried[i][0]) for time, i in sorted(timed) if i != index]
        notes = [_overall(name, least, others)]
        if index < len(one_after_other):
            notes += [_reason(job, shape, own) for shape, own in found.items()]
        decided: LayerDecisions = replace(best, notes=(*notes, *best.notes))
        return decided

    def _streams(self, job: Job) -> Iterator[tuple[str, LayerDecisions]]:
        """Yield the streams that are compared, by what they are called."""
        if not self.across_layers:
            return
        for strategy in streams():
            try:
                yield _called(strategy), strategy.decide(job)
            except (CapacityError, UnsupportedError):
                continue


def best_of_layers(job: Job) -> "dict[Shape, Found]":
    """Return the best way to run each different layer with an adapter."""
    from hybridsim.strategies.layers.search import best_of_layer

    found: dict[Shape, Found] = {}
    for layer in job.mapping.layers:
        shape = shape_of(job, layer)
        if layer.adapter is not None and shape not in found:
            found[shape] = best_of_layer(*job.seen_by(layer))
    return found


@cache
def streams() -> tuple[CrossLayer, ...]:
    """Return the streams that are compared with layers in turn."""
    return (
        CrossLayer(),
        CrossLayer(early_xa=True, prefetch_weights=True),
        CrossLayer(early_xa=True, unit="best", prefetch_weights=True),
    )


def _called(strategy: PipelinedStrategy) -> str:
    """Return a stream in words: what differs from the plain one."""
    changed = strategy.model_dump(exclude={"kind", "stream"}, exclude_defaults=True)
    options = ", ".join(f"{key}={str(value).lower()}" for key, value in changed.items())
    return f"streamed ({options})" if options else "streamed"


def _overall(name: str, least: int, others: list[tuple[int, str]]) -> str:
    if not others:
        return f"auto: {name}, {format_ps(least)}"
    time, second = others[0]
    return f"auto: {name}, {format_ps(least)}; next best {second}, {format_ps(time)}"


def _reason(job: Job, shape: Shape, own: "Found") -> str:
    """Return why a layer is run as it is, in one line."""
    from hybridsim.strategies.layers.search import describe

    alike = sum(shape_of(job, layer) == shape for layer in job.mapping.layers)
    kinds = "".join(f" on {kind}" for kind in shape[5:] if kind)
    if shape[4] > 1:
        kinds += f" in {shape[4]} copies"
    text = (
        f"auto: {shape[0]}x{shape[1]}{kinds} ({alike} layers): {describe(own.batching)}; "
        f"{format_ps(own.latency_ps)}, bound by {own.bound} at {format_ps(own.bound_ps)} "
        f"({own.tried} of {own.candidates} candidates run)"
    )
    if own.second is not None:
        worse = (own.second_ps - own.latency_ps) * 100 / own.latency_ps
        text += f"; next best {describe(own.second)}, {worse:.1f} % longer"
    return text
