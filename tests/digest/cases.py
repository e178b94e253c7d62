"""What is digested: runs of every strategy, option and machine, and the questions beside them.

Many cases are mixes: every option of a strategy takes one of its values, chosen by a hash of the
number of the mix and the name of the option, so that options meet in many ways and each run of
this file gives the same list.
"""

from collections.abc import Iterator

from tests.digest.case import Case
from tests.digest.layer_cases import (
    layer_machines,
    layer_mixes,
    layer_names,
    layer_options,
    layer_shapes,
)
from tests.digest.network_cases import (
    network_bundled,
    network_experts,
    network_mixes,
    network_names,
    network_options,
)
from tests.digest.questions import EXPLAINED, GENERATED, QUESTIONS, SERVED, SWEPT


def refused() -> Iterator[Case]:
    """Yield what cannot be run; the sentence that says why is digested."""
    yield Case("layer_512x128", tokens=10, options={"batch": 0})
    yield Case("layer_512x128", tokens=10, options={"nothing": 1})
    yield Case("layer_512x128", tokens=10, options={"unit": "gpu"})
    yield Case("layer_512x128", tokens=10, options={"clusters": 3})
    yield Case("layer_512x128", tokens=10, strategy="swapped", options={"order": "direct"})
    yield Case("layer_512x128", tokens=10, strategy="fastest")
    yield Case("layer_512x128", tokens=10, past=4)
    yield Case("layer_512x128", tokens=2**21)
    yield Case("small_gpt2", "harp_2026", "token_parallel", 4, past=4)
    yield Case("small_gpt2", "harp_2026", "network", 4, {"chunk": 0})
    yield Case("small_gpt2", "harp_2026", "network", 4, {"where.add": "nowhere"})
    yield Case("small_gpt2", "harp_2026", "serial", 4, {"where.softmax": "matrix_engine"})
    yield Case("small_bert", "harp_2026", "network", 4, settings={"cluster": None})
    yield Case("small_bert", "harp_2026", "network", 8, settings={"tile.count": 1})
    yield Case("small_llama", "llm_2026", "network", 8, settings={"chips.count": 1})


def numerics() -> Iterator[Case]:
    """Yield runs whose adapter kernels are computed, on each unit."""
    for unit in ("matrix_engine", "cores", "both", "balanced"):
        yield Case("layer_128x128", tokens=16, options={"unit": unit}, more={"numerics": True})
    given = {"unit": "best", "order": "swapped"}
    yield Case("small_bert", tokens=8, options=given, more={"numerics": True})


def questions() -> Iterator[Case]:
    """Yield what is asked beside a single run."""
    for given in (*EXPLAINED, *GENERATED, *QUESTIONS, *SERVED, *SWEPT):
        yield Case(**given)


def _all() -> tuple[Case, ...]:
    """Return all cases, each once."""
    found: dict[str, Case] = {}
    for source in (
        layer_names, layer_options, layer_mixes, layer_shapes, layer_machines, network_names,
        network_options, network_mixes, network_bundled, network_experts, refused, numerics,
        questions,
    ):  # fmt: skip
        for case in source():
            known = found.get(case.name)
            if known is None or (case.tables and not known.tables):
                found[case.name] = case
    return tuple(found.values())


CASES = _all()
"""All cases, in a fixed order."""
