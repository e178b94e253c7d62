"""From which batch it pays to share tiles in time, against running every batch."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hybridsim.arch import load_machine, machine_with
from hybridsim.designs import design
from hybridsim.designs.sharing import pays_from
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from tests.needing import needing

needing("sklearn", "designs guess with scikit-learn (extra 'search')")

PAPER = "ahwa_lora_2026"


def test_sharing_pays_from_the_batch_at_which_runs_say_so(tmp_path: Path) -> None:
    """The batch that a few runs tell is better when it is run, and the one below it is not.

    What writing costs a sequence falls with their number (tests/mapping), so it is the least one.
    """
    small = {"tile.count": 30}
    axes = {"mapping.overflow": ["share", "digital"], "mapping.sequences": [1, 2, 8, 32],
            "strategy": ["xb_pipe"], "strategy.batch": [32]}  # fmt: skip
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump({"axes": axes}), encoding="utf-8")
    found = design("minilm_l6", PAPER, time=None, tokens=64, settings=small,
                   space=path)  # fmt: skip
    told = {own.objective: own for own in found.sharing}
    assert set(told) == {"latency_ps", "energy_pj"}

    def run(**mapping: Any) -> Any:
        machine = machine_with(load_machine(PAPER), small | {
            f"mapping.{key}": value for key, value in mapping.items()
        })  # fmt: skip
        return simulate(found.asked.network, machine, make_strategy("xb_pipe", {"batch": 32}), 64)

    digital, shared = run(overflow="digital"), {
        n: run(overflow="share", sequences=n)
        for own in told.values()
        for n in {own.pays_from - 1, own.pays_from, 32}
    }  # fmt: skip
    energies = [n for n, own in shared.items() if own.energy.total_pj < digital.energy.total_pj]
    times = [n for n, own in shared.items() if own.latency_ps < digital.latency_ps]
    assert told["energy_pj"].pays_from == min(energies)
    assert told["latency_ps"].pays_from == min(times)
    assert told["latency_ps"].digital == digital.latency_ps
    assert told["latency_ps"].most == shared[32].latency_ps


@pytest.mark.parametrize(
    ("shared", "other", "batch"),
    [
        ([(1, 10.0), (2, 6.0), (8, 3.0)], 11.0, 1),
        ([(1, 10.0), (2, 6.0), (8, 3.0)], 5.5, 3),  # 2 + 8 / n
        ([(1, 10.0), (2, 6.0), (8, 3.0)], 2.5, 17),  # extrapolated
        ([(1, 10.0), (2, 6.0), (8, 3.0)], 2.0, None),
        ([(1, 10.0), (2, 10.0)], 9.0, None),
        ([(4, 10.0)], 9.0, None),
    ],
)
def test_a_batch_bears_a_constant_and_a_share(
    shared: list[tuple[int, float]], other: float, batch: int | None
) -> None:
    assert pays_from(shared, other) == batch
