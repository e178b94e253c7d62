"""Points in blocks are what whole runs of each are, to the picosecond, problems included."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.sweeps.blocks import Blocks
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.whole_runs import WholeRuns
from tests.sweeps.random_studies import (
    CHAIN_STRATEGIES,
    MEASURED,
    NETWORK_STRATEGIES,
    NETWORKS,
    axes,
    chains,
    inputs_of,
    strategies,
)


def assert_same(inputs: Inputs, chosen: Any = None) -> dict[str, Any]:
    """Compare blocks with whole runs in every column, and return what was found."""
    every = np.arange(len(inputs)) if chosen is None else chosen
    found, expected = Blocks(inputs).evaluate(every), WholeRuns(inputs).evaluate(every)
    for i, index in enumerate(every.tolist()):
        ours, theirs = ({name: column[i] for name, column in each.items()}
                        for each in (found, expected))  # fmt: skip
        apart = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
        assert not apart, (inputs.labels(index), apart)
    return found


@st.composite
def studies_of_chains(draw: st.DrawFn) -> Inputs:
    strategy = draw(strategies(CHAIN_STRATEGIES))
    given_axes = draw(axes(strategy, [1, 7, 40, 129, 0]))
    return inputs_of(
        draw(chains()), draw(st.sampled_from(["one", "many", "small", "harp", "engines"])),
        strategy, given_axes, draw(st.sampled_from([1, 9, 33, 200])), MEASURED,
    )  # fmt: skip


@given(studies_of_chains())
@settings(max_examples=60, deadline=None)
def test_blocks_of_layers_equal_whole_runs(inputs: Inputs) -> None:
    assert_same(inputs)


@st.composite
def studies_of_networks(draw: st.DrawFn) -> Inputs:
    strategy = draw(strategies(NETWORK_STRATEGIES))
    given_axes = draw(axes(strategy, [1, 7, 20]))
    name, machine = draw(
        st.sampled_from([("small_bert", "harp"), ("small_llama", "chips"), ("small_bert", "one")])
    )
    return inputs_of(
        NETWORKS[name], machine, strategy, given_axes, draw(st.sampled_from([1, 9, 20])), MEASURED
    )


@given(studies_of_networks())
@settings(max_examples=20, deadline=None)
def test_blocks_of_networks_equal_whole_runs(inputs: Inputs) -> None:
    chosen = np.unique(np.linspace(0, len(inputs) - 1, min(len(inputs), 12)).astype(np.int64))
    assert_same(inputs, chosen)
