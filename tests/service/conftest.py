from collections.abc import Iterator
from typing import Any

import pytest

from hybridsim.generation import GenerationTimes
from hybridsim.service import decoders, latency


@pytest.fixture(scope="module")
def times_once() -> Iterator[None]:
    """What passes of a network take on a machine is found out once, for services of both.

    That it is the same whatever was asked before is a law of its own. It takes most of the time.
    """
    known: dict[Any, tuple[Any, ...]] = {}

    def times(network: Any, machine: Any, strategy: Any) -> GenerationTimes:
        key = id(network), id(machine), strategy
        if key not in known:
            known[key] = GenerationTimes(network, machine, strategy), network, machine
        return known[key][0]

    with pytest.MonkeyPatch.context() as patch:
        for module in (decoders, latency):
            patch.setattr(module, "GenerationTimes", times)
        yield
