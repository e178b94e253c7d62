"""Intervals of runs."""

from functools import cache

import numpy as np
import pytest

import hybridsim
from hybridsim.certainty import interval_of, with_interval
from hybridsim.certainty.intervals import LEAST_SAMPLES, MOST_SAMPLES, samples_for
from hybridsim.certainty.residuals import Residuals, bundled_residuals
from hybridsim.certainty.works import doubts_of
from hybridsim.engines import engine
from hybridsim.measure.interval import IntervalResult, between
from hybridsim.measure.result import Result
from hybridsim.simulation import Run, execute
from hybridsim.strategies import make_strategy
from hybridsim.units import format_ps
from hybridsim.work import Work, delay

CASES = (
    ("layer_512x128", "ahwa_lora_2026", "token_parallel", {}),
    ("layer_512x128", "ahwa_lora_2026", "token_parallel", {"unit": "cores"}),
    ("layer_512x128", "ahwa_lora_2026", "layer_serial", {"unit": "balanced"}),
    ("minilm_l6", "ahwa_lora_2026", "xb_pipe", {}),
)


@cache
def ran(case: int) -> Run:
    network, machine, strategy, options = CASES[case]
    return execute(*hybridsim.load(network, machine), make_strategy(strategy, options), tokens=32)


@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_interval_holds_its_estimate(case: int) -> None:
    result = with_interval(ran(case))
    found = result.interval
    assert found is not None
    assert found.latency_low_ps <= result.latency_ps <= found.latency_high_ps
    assert found.yardstick_low_ps <= result.yardstick_ps <= found.yardstick_high_ps
    assert found.overhead_low_percent <= result.overhead_percent <= found.overhead_high_percent
    assert result.energy is not None
    assert found.energy_low_pj <= result.energy.total_pj <= found.energy_high_pj
    for layer, ends in zip(result.layers, found.layers, strict=True):
        assert layer.name == ends.name
        assert ends.latency_low_ps <= layer.latency_ps <= ends.latency_high_ps
        assert ends.overhead_low_percent <= layer.overhead_percent <= ends.overhead_high_percent


@pytest.mark.parametrize("case", range(len(CASES)))
def test_exact_models_give_no_width(case: int) -> None:
    exact = Residuals({name: 0 * rows for name, rows in bundled_residuals().scores.items()})
    run = ran(case)
    found = interval_of(run, exact)
    assert found.latency_low_ps == run.result.latency_ps == found.latency_high_ps
    assert found.energy_low_pj == found.energy_high_pj


def test_larger_residuals_give_a_wider_interval() -> None:
    widths = []
    for factor in (0.5, 1.0, 2.0, 4.0):
        found = interval_of(ran(1), bundled_residuals().scaled(factor))
        widths.append(found.latency_high_ps - found.latency_low_ps)
    assert widths == sorted(widths)
    assert widths[0] > 0


@pytest.mark.parametrize("case", range(len(CASES)))
def test_engines_agree_and_a_seed_gives_the_same_again(case: int) -> None:
    run = ran(case)
    first = interval_of(run, samples=4, seed=3)
    assert first == interval_of(run, samples=4, seed=3)
    assert first == interval_of(run, samples=4, seed=3, execute=engine("reference"))


def test_other_seeds_differ_by_less_than_the_interval() -> None:
    ends = [interval_of(ran(1), seed=seed) for seed in range(5)]
    width = min(each.latency_high_ps - each.latency_low_ps for each in ends)
    assert np.ptp([each.latency_high_ps for each in ends]) < width / 2


def test_an_interval_reads_back_and_is_left_out_where_nobody_asked() -> None:
    result = with_interval(ran(0))
    assert Result.from_json(result.to_json()) == result
    assert "interval" not in ran(0).result.model_dump(mode="json")
    assert "(90 %:" in result._repr_html_()


def test_what_no_row_was_measured_of_is_named() -> None:
    names = interval_of(ran(3)).not_in_interval
    assert {"integration time of tiles", "link", "softmax in fp16", "energy constants"} <= {*names}
    machine = ran(0).job.machine
    assert doubts_of(Work("dram", "fetch", "fetch", (8,)), machine).unmeasured
    assert not doubts_of(delay("pause", 5), machine).unmeasured
    slow = hybridsim.load("layer_512x128", "ahwa_lora_2026", {"link.width": "1 B/cycle"})[1]
    moved = Work("dma", "transfer", "load x", (4096,))
    assert doubts_of(moved, slow).unmeasured == {"link"}
    assert not doubts_of(moved, machine).unmeasured


def test_a_network_without_adapters_is_as_sure_as_its_tiles() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    run = execute(network, machine, make_strategy("all_analog"))
    found = interval_of(run)
    assert found.latency_low_ps == found.latency_high_ps == run.result.latency_ps
    assert "integration time of tiles" in found.not_in_interval


def test_long_plans_have_fewer_samples() -> None:
    assert samples_for(10) == MOST_SAMPLES
    assert samples_for(10**7) == LEAST_SAMPLES


def test_ends_are_told_with_as_many_digits_as_tell_them_apart() -> None:
    assert between(68_795_992, 69_052_008, format_ps) == "68.80 .. 69.05 us"
    assert between(166_631_600_000, 166_935_488_000, format_ps) == "166.63 .. 166.94 ms"
    assert between(999_999, 1_000_001, format_ps) == "0.999999 .. 1.000001 us"
    assert between(5, 5, format_ps) == "5.00 ps"
    assert between(900_000, 1_100_000, format_ps) == "0.90 .. 1.10 us"


def test_an_overhead_without_width_is_one_number() -> None:
    ends = {"level": 0.9, "overhead_low_percent": 1.0}
    found = [
        IntervalResult.model_construct(**ends, overhead_high_percent=high) for high in (1.0, 2.5)
    ]
    assert [own.overhead for own in found] == ["90 %: 1.00 %", "90 %: 1.00 .. 2.50 %"]
