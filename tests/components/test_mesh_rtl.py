"""The mesh against routers in RTL: ``mesh_rtl.csv``, which ``mesh_rtl.py`` has written."""

import random
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from hybridsim.components.interconnect import Flow, Mesh
from tests.components.mesh_rtl import kinds


@cache
def ratios(kind: str) -> list[float]:
    """Our cycles over those of the RTL, whose hops take a cycle and whose edges carry a flit."""
    rows = pd.read_csv(Path(__file__).with_name("mesh_rtl.csv"))
    found = []
    for row in rows[rows["kind"] == kind].itertuples():
        flows = kinds(row.side, random.Random(row.seed))[kind]
        size = {"rows": row.side, "columns": row.side}
        clock = {"clock": {"frequency": "1 GHz"}, "width": "1 B/cycle", "hop": "1 cycles"}
        mesh = Mesh.model_validate({"kind": "mesh", **size, **clock})
        way = mesh.passage(Flow(source, (target,), flits) for source, target, flits in flows)
        found.append((way.hops + way.busiest) / row.cycles)
    assert len(found) >= 10
    return found


def test_a_transfer_from_one_node_to_another_takes_the_cycles_of_the_rtl() -> None:
    assert set(ratios("one")) == {1}


@pytest.mark.parametrize("kind", ["gather", "scatter", "pairs", "transpose"])
def test_flows_together_take_little_more_than_in_the_rtl(kind: str) -> None:
    """Never less; more, as the longest way need not be the last to be free."""
    assert 1 <= min(ratios(kind)) <= max(ratios(kind)) <= 1.17


def test_what_goes_from_all_to_all_meets_in_queues_that_are_not_modelled() -> None:
    """No transfer of a network is so; the bound by the busiest edge is told in docs/trust.md."""
    assert 0.7 <= min(ratios("uniform")) <= max(ratios("uniform")) <= 1
