"""Points in blocks are what whole runs of each are, to the picosecond, problems included."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.specs import validate
from hybridsim.sweeps.blocks import Blocks
from hybridsim.sweeps.evaluate import make_evaluator
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.whole_runs import WholeRuns
from hybridsim.workload import Network
from tests.sweeps.random_studies import (
    CHAIN_STRATEGIES,
    EVERY,
    MEASURED,
    NETWORK_STRATEGIES,
    NETWORKS,
    axes,
    chains,
    inputs_of,
    strategies,
)

KEPT = st.sampled_from([MEASURED, EVERY])


def some(inputs: Inputs, most: int) -> Any:
    """Return points from the first to the last, evenly: a whole run of each takes its time."""
    return np.unique(np.linspace(0, len(inputs) - 1, min(len(inputs), most)).astype(np.int64))


def assert_same(inputs: Inputs, chosen: Any = None) -> dict[str, Any]:
    """Compare blocks with whole runs in every column, and return what was found."""
    every = np.arange(len(inputs)) if chosen is None else chosen
    found, expected = Blocks(inputs).evaluate(every), WholeRuns(inputs).evaluate(every)
    for i, index in enumerate(every.tolist()):
        ours, theirs = ({name: column[i] for name, column in each.items()}
                        for each in (found, expected))  # fmt: skip
        apart = {
            name: (own, theirs[name])
            for name, own in ours.items()
            if own != theirs[name] and not (own != own and theirs[name] != theirs[name])
        }
        assert not apart, (inputs.labels(index), apart)
    return found


@st.composite
def studies_of_chains(draw: st.DrawFn) -> Inputs:
    strategy = draw(strategies(CHAIN_STRATEGIES))
    given_axes = draw(axes(strategy, [1, 7, 40, 129, 0]))
    return inputs_of(
        draw(chains()), draw(st.sampled_from(["one", "many", "small", "harp", "engines"])),
        strategy, given_axes, draw(st.sampled_from([1, 9, 33, 200])), draw(KEPT),
    )  # fmt: skip


@given(studies_of_chains())
@settings(max_examples=8, deadline=None)
def test_blocks_of_layers_equal_whole_runs(inputs: Inputs) -> None:
    assert_same(inputs, some(inputs, 16))


@pytest.mark.parametrize("strategy", ["token_parallel", "split_cores"])
@pytest.mark.parametrize("given", [{"adapters.ranks.?*": [3, 5]}, {"adapters.rank": [1, 40]}])
def test_one_rank_is_not_that_of_layers_with_their_own(
    strategy: str, given: dict[str, list[Any]]
) -> None:
    network = NETWORKS["small_bert"]
    own = network.with_adapter_settings({"ranks.*query*": 4, "ranks.*value*": 2})
    axes_ = {"adapters.rank": [1, 8]} | given
    inputs = inputs_of(own, "one", {"kind": strategy}, axes_, 9, MEASURED)
    found = assert_same(inputs)
    assert len({*found["latency_ps"].tolist()}) > 1


@st.composite
def studies_of_networks(draw: st.DrawFn) -> Inputs:
    strategy = draw(strategies(NETWORK_STRATEGIES))
    given_axes = draw(axes(strategy, [1, 7, 20]))
    name, machine = draw(
        st.sampled_from([("small_bert", "harp"), ("small_llama", "chips"), ("small_bert", "one")])
    )
    return inputs_of(
        NETWORKS[name],
        machine,
        strategy,
        given_axes,
        draw(st.sampled_from([1, 9, 20])),
        draw(KEPT),
    )


@given(studies_of_networks())
@settings(max_examples=6, deadline=None)
def test_blocks_of_networks_equal_whole_runs(inputs: Inputs) -> None:
    assert_same(inputs, some(inputs, 8))


@st.composite
def studies_of_kinds(draw: st.DrawFn, whole: bool) -> Inputs:
    strategy = draw(strategies(NETWORK_STRATEGIES if whole else CHAIN_STRATEGIES))
    names = ["of_one", "open", *(["of_bert", "digital"] if whole else ["of_chains"] * 3)]
    return inputs_of(
        NETWORKS["small_bert"] if whole else draw(chains()),
        f"kinds_{draw(st.sampled_from(names))}",
        strategy, draw(axes(strategy, [1, 7, 20])), draw(st.sampled_from([1, 9, 20])), draw(KEPT),
    )  # fmt: skip


@given(studies_of_kinds(whole=False))
@settings(max_examples=12, deadline=None)
def test_blocks_of_layers_on_several_kinds_equal_whole_runs(inputs: Inputs) -> None:
    assert_same(inputs, some(inputs, 12))


@pytest.mark.parametrize("stream", [False, True])
def test_what_makes_no_machine_is_told_before_what_has_no_place(stream: bool) -> None:
    """A rule of the machine fits no layer, and one of its values makes no machine at all."""
    ops = [{"name": "l0", "kind": "linear", "in_features": 16, "out_features": 12}]
    text = {"name": "chain", "source": "this test", "ops": ops, "adapters": {"rank": 1}}
    sizes = {"cluster.tcdm.size": ["4 KiB", "1000 B"], "tokens": [7, 0]}
    strategy = {"kind": "token_parallel", "batch": 1, "stream": stream}
    inputs = inputs_of(
        validate(Network, text, "chain"), "kinds_of_chains", strategy, sizes, 9, MEASURED
    )
    told = [problem.split(":")[0] for problem in assert_same(inputs)["problem"]]
    assert told == ["mapping.layers", "tokens", "--set", "--set"]


@given(studies_of_kinds(whole=True))
@settings(max_examples=5, deadline=None)
def test_blocks_of_networks_on_several_kinds_equal_whole_runs(inputs: Inputs) -> None:
    assert_same(inputs, some(inputs, 6))


SHAPES: dict[str, Any] = {
    "network": ["layer_128x128", "layer_512x128"],
    "strategy.batch": {"from": 1, "to": 128, "factor": 2},
    "tile.integration_time": {"from": "64 ns", "to": "576 ns", "step": "64 ns"},
    "strategy.buffers": [1, 2],
    "cluster.tcdm.size": ["32 KiB", "128 KiB"],
    "tokens": [16, 100, 128],
}


def test_what_does_not_fit_is_told_as_by_whole_runs(studies: Any) -> None:
    inputs = studies.inputs(tokens=None, network=None, axes=SHAPES, keep=list(MEASURED))
    chosen = np.random.default_rng(0).choice(len(inputs), 150, replace=False)
    assert len(set(assert_same(inputs, chosen)["problem"])) > 1


@pytest.mark.parametrize("tokens", [700, 8_192])
def test_simpy_executes_every_task_of_what_blocks_jump_over(studies: Any, tokens: int) -> None:
    axes = {"strategy": ["cross_layer", "layer_serial", "early_xa"], "strategy.batch": [1, 8]}
    inputs = studies.inputs(tokens=tokens, axes=axes, keep=["latency_ps", "tasks"])
    every = np.arange(len(inputs)) if tokens < 1_000 else np.arange(1, len(inputs), 2)
    found, expected = (
        make_evaluator(inputs, name).evaluate(every) for name in ("compiled", "reference")
    )
    assert {name: list(column) for name, column in found.items()} == {
        name: list(column) for name, column in expected.items()
    }
    assert all(latency > 0 for latency in found["latency_ps"])
