"""A design from question to proof: what is known to be best is found, and what cannot be told."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hybridsim.arch import load_machine, machine_with
from hybridsim.designs import Design, Question, asked, design
from hybridsim.errors import InputError
from hybridsim.measure.result import Result
from hybridsim.report.designs import headline
from hybridsim.report.page.design import design_page
from hybridsim.simulation import execute, simulate
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.inputs import Resolver
from tests.cli.conftest import CommandLine
from tests.needing import needing

needing("pyarrow", "recording needs pyarrow (extra 'sweep')")
needing("sklearn", "designs guess with scikit-learn (extra 'search')")

PAPER = "ahwa_lora_2026"
KNOBS: dict[str, Any] = {
    "tile.integration_time": ["128 ns", "256 ns", "512 ns"],
    "strategy.batch": [8, 16, 32, 64, 128],
}
"""What the paper varies in Fig. 4."""
RESULTS = "reports/adapt_ranks/results"


def space(tmp_path: Path, axes: dict[str, Any], **more: Any) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump({"axes": axes} | more), encoding="utf-8")
    return path


@pytest.fixture
def cli() -> CommandLine:
    return CommandLine()


# --- rediscovery --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "time", "published"),
    [
        ("layer_128x128", "512 ns", 8),
        ("layer_128x128", "256 ns", 16),
        ("layer_128x128", "128 ns", 32),
        ("layer_512x128", "512 ns", 32),
        ("layer_512x128", "256 ns", 32),
        ("layer_512x128", "128 ns", 16),
    ],
)
def test_batches_are_within_a_step_of_the_papers_balance(
    tmp_path: Path, layer: str, time: str, published: int
) -> None:
    """The batches that reproduce Fig. 4c (two stages, 128 tokens); a step is a factor of 2."""
    axes = KNOBS | {"tile.integration_time": [time]}
    found = design(layer, PAPER, ["tcdm <= 128 KiB"], ["overhead"], time=None,
                   space=space(tmp_path, axes))  # fmt: skip
    assert found.feasible
    assert published / 2 <= int(found.choice["strategy.batch"]) <= 2 * published


@pytest.mark.parametrize("layer", ["layer_128x128", "layer_512x128"])
def test_adapters_hide_behind_the_slowest_tile(tmp_path: Path, layer: str) -> None:
    """Fig. 4c has its best case, 4 % for 128 x 128, at 512 ns."""
    found = design(layer, PAPER, minimise=["overhead"], time=None, space=space(tmp_path, KNOBS))
    assert found.choice["tile.integration_time"] == "512 ns"
    if layer == "layer_128x128":
        assert 3 < found.objectives["overhead_percent"] < 4


@pytest.mark.slow
def test_harps_fastest_mapping_is_found_blind(tmp_path: Path) -> None:
    """MobileBERT, 128 tokens: 3.861117 ms with XB-pipe, batch 8, mapping 'latency' (Fig. 7, 8)."""
    axes = {
        "tile.sharing": ["latency", "balance", "area"],
        "strategy": ["serial", "il_par", "il_pipe", "xl_pipe", "il_xl_pipe", "xb_pipe"],
        "strategy.batch": [4, 8, 16, 32, 64],
    }
    found = design(
        "mobilebert", "harp_2026:mobilebert", ["area <= 33.93 mm2"], ["latency"], time=None,
        tokens=128, settings={"adapters": "none"}, space=space(tmp_path, axes),
    )  # fmt: skip
    assert found.feasible
    assert found.objectives["latency_ps"] <= 3.861117e9 * 1.0005


def test_few_copies_and_clusters_keep_mobilebert_below_one_percent_at_128_ns() -> None:
    """What the example's space leads to: four more tiles, against one copy without adapters."""
    path = Path("examples/design_copies.yaml")
    limits = ["latency <= 5.974 ms"]
    question = Question("mobilebert", PAPER, limits, space=path, tokens=128, layers_only=True)
    inputs = asked(question).inputs

    def run(copies: str) -> Result:
        chosen = {
            "way": "early", "strategy.batch": "32", "tile.integration_time": "128 ns",
            "cluster.count": "4", "link.count": "1", "clock": "1GHz", "copies": copies,
        }  # fmt: skip
        places = [axis.labels.index(chosen[axis.name]) for axis in inputs.axes]
        point = Resolver(inputs).point(int(np.ravel_multi_index(places, inputs.shape)))
        return execute(point.network, point.machine, point.strategy, 128).result

    one, few = run("none"), run("output_in_4")
    assert one.latency_ps > 1.01 * one.yardstick_ps
    assert few.latency_ps < 1.01 * one.yardstick_ps
    assert few.tiles == one.tiles + 4


# --- limits -------------------------------------------------------------------------------------


SMALL = {
    "strategy": ["token_parallel", "early_xa"],
    "strategy.batch": [8, 16, 32],
    "tile.integration_time": ["128 ns", "256 ns"],
    "cluster.count": [1, 2, 4],
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Design, Path]:
    """A design whose area binds: a third cluster would not fit."""
    folder = tmp_path_factory.mktemp("design")
    found = design(
        "layer_512x128", PAPER, ["area <= 5.0 mm2", "power <= 1 W"], ["latency"], time=None,
        tokens=64, space=space(folder, SMALL), out=folder / "out",
    )  # fmt: skip
    return found, folder / "out"


def test_a_limit_that_binds_has_a_price(small: tuple[Design, Path]) -> None:
    """Two clusters take 5.34 mm2: ten percent more area buys the second one."""
    found, _ = small
    area, power = found.standings()
    assert found.feasible
    assert found.choice["cluster.count"] == "1"
    assert area.binds
    assert area.price is not None
    assert area.slack is not None
    assert area.slack == pytest.approx(5.0 - 3.42)
    now, then = area.price.gains["latency_ps"]
    assert then < now
    assert not power.binds


def test_alternatives_are_runs_of_the_machine(small: tuple[Design, Path]) -> None:
    found, _ = small
    decisions = {own.axis: own for own in found.decisions}
    assert set(decisions) == set(SMALL)
    clusters = {own.label: own for own in decisions["cluster.count"].alternatives}
    assert clusters["2"].misses == ("area <= 5.0 mm2",)
    assert clusters["2"].changes["latency_ps"] < 0
    for own in decisions.values():
        fine = [a for a in own.alternatives if not a.misses]
        assert all(a.changes["latency_ps"] >= 0 for a in fine)


def test_the_machine_of_a_design_runs_as_the_design_says(small: tuple[Design, Path]) -> None:
    found, folder = small
    machine = load_machine(str(folder / "machine.yaml"))
    settings = found.settings
    strategy = make_strategy(settings["strategy"], {"batch": settings["strategy.batch"]})
    run = simulate(found.asked.network, machine, strategy, 64)
    assert run.latency_ps == found.objectives["latency_ps"]
    assert "extends: ahwa_lora_2026" in (folder / "machine.yaml").read_text(encoding="utf-8")


def test_a_machine_says_what_only_fits_together(tmp_path: Path) -> None:
    """A taller array needs a wider port: neither makes a machine by itself."""
    engine = {"cluster.matrix_engine.array_height": 8, "cluster.matrix_engine.array_width": 24,
              "cluster.matrix_engine.port_width": "512 bit"}  # fmt: skip
    path = space(tmp_path, {"engine": {"8x24": engine}})
    design("layer_128x128", PAPER, time=None, tokens=8, space=path, out=tmp_path / "out")
    built = load_machine(str(tmp_path / "out" / "machine.yaml")).to_text()["cluster"]
    assert built == machine_with(load_machine(PAPER), engine).to_text()["cluster"]


def test_the_proof_is_a_study_that_runs_again(
    small: tuple[Design, Path], cli: CommandLine
) -> None:
    found, folder = small
    document = json.loads((folder / "design.json").read_text(encoding="utf-8"))
    assert document["proof"]["differences"] == []
    assert document["proof"]["points"] >= 1
    again = cli.json("sweep", str(folder / "proof" / "study.yaml"), "--audit", "100%")
    assert again["audit"]["differences"] == []
    chosen = next(row for row in again["pareto"] if row["design"] == "chosen")
    assert chosen["latency_ps"] == found.objectives["latency_ps"]


def test_the_same_call_goes_on_where_it_ended(small: tuple[Design, Path], tmp_path: Path) -> None:
    found, folder = small
    again = design(
        "layer_512x128", PAPER, ["area <= 5.0 mm2", "power <= 1 W"], ["latency"], time=None,
        tokens=64, space=space(tmp_path, SMALL), out=folder,
    )  # fmt: skip
    assert again.choice == found.choice
    assert len(list((folder / "points").glob("part-*.parquet"))) <= 2


def test_limits_that_conflict_are_named_with_the_nearest_of_each(tmp_path: Path) -> None:
    found = design(
        "layer_512x128", PAPER, ["latency <= 22 us", "area <= 4 mm2", "tcdm <= 128 KiB"],
        ["latency"], time=None, tokens=64, space=space(tmp_path, SMALL),
    )  # fmt: skip
    assert found.feasible is False
    (conflict,) = found.conflicts
    assert conflict.limits == ("latency <= 22 us", "area <= 4 mm2")
    missed = [own for own in found.standings() if own.met is False]
    assert missed
    assert all(f"misses {own.limit.text} by " in headline(found) for own in missed[:1])
    assert 'data-table="nearest"' in design_page(found, None)
    seen = found.seen
    fast, little = (seen.place(conflict.nearest[own]) for own in conflict.limits)
    assert seen.column("latency_ps")[fast] <= 22e6 < seen.column("latency_ps")[little]
    assert seen.column("area_mm2")[little] <= 4 < seen.column("area_mm2")[fast]


def test_accuracy_without_evidence_is_left_open_and_says_what_would_tell(tmp_path: Path) -> None:
    found = design(
        "layer_512x128", PAPER, ["accuracy >= -1 point @ 10y"], ["latency"], time=None, tokens=64,
        space=space(tmp_path, {"strategy.batch": [8, 16]}),
    )  # fmt: skip
    assert found.feasible is None
    assert found.document()["feasible"] is None
    assert "hybridsim adapt" in found.asked.needed
    assert " of one core" in found.asked.needed
    (standing,) = found.standings()
    assert standing.met is None


def test_accuracy_chooses_the_adapter(tmp_path: Path) -> None:
    """Rank 1 is cheapest; of the tested ones it is the least accurate after ten years."""
    axes = {"tile.integration_time": ["256 ns"], "strategy.batch": [16]}
    given = {
        "network": "minilm_l6", "base": PAPER, "minimise": ["energy"], "time": None, "tokens": 48,
        "evidence": [RESULTS], "space": space(tmp_path, axes),
    }  # fmt: skip
    cheap = design(limits=["accuracy >= 70 % @ 10y"], **given)  # type: ignore[arg-type]
    good = design(limits=["accuracy >= 79 % @ 10y"], **given)  # type: ignore[arg-type]
    assert cheap.choice["adapter"] == "rank1"
    assert good.known is not None
    assert good.known.accuracy_percent >= 79
    assert good.objectives["energy_pj"] > cheap.objectives["energy_pj"]
    assert good.known.low_percent < 79  # its interval is told beside it


# --- the command line ---------------------------------------------------------------------------


def test_the_command_says_what_to_build(tmp_path: Path, cli: CommandLine) -> None:
    done = cli(
        "design", "layer_512x128", "--base", PAPER, "--limit", "area <= 5 mm2", "--minimise",
        "latency", "--tokens", "64", "--space", str(space(tmp_path, SMALL)),
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "within all limits" in done.stdout
    assert "all the same" in done.stdout
    assert "relaxed to" in done.stdout
    page = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "A design for layer_512x128" in page
    assert "What each decision costs" in page
    # the same page again, from the runs that lie there
    again = cli("report", str(tmp_path / "out"))
    assert again.exit_code == 0, again.stderr
    assert (tmp_path / "out" / "page.html").read_text(encoding="utf-8") == page
    assert "holds a design" in cli.refused("report", str(tmp_path / "out"), "--explain")
    document = json.loads((tmp_path / "out" / "design.json").read_text(encoding="utf-8"))
    document["asked"]["tokens"] = 32
    (tmp_path / "out" / "design.json").write_text(json.dumps(document), encoding="utf-8")
    assert "are not those of this version" in cli.refused("report", str(tmp_path / "out"))


def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, cli: CommandLine) -> None:
    base = ("design", "layer_128x128", "--base", PAPER)
    for arguments, told in (
        (("--limit", "area << 3"), "--limit"),
        (("--minimise", "speed"), "--minimise"),
        (("--time", "soon"), "--time"),
        (("--runs", "0"), "--runs"),
        (("--evidence", RESULTS), "--evidence"),
        (("--maximise", "accuracy"), "--evidence"),
        (("--space", str(tmp_path / "none.yaml")), "none.yaml"),
        (("--set", "strategy.batch=8"), "--set strategy.batch"),
    ):
        assert told in cli.refused(*base, *arguments)
    empty = tmp_path / "empty.yaml"
    empty.write_text("name: empty\n", encoding="utf-8")
    assert "'axes' is missing" in cli.refused(*base, "--space", str(empty))


def test_without_scikit_learn_a_design_says_what_to_install(
    tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hybridsim.designs.guess", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.exceptions", None)
    path = str(space(tmp_path, {"strategy.batch": [8, 16]}))
    told = cli.refused("design", "layer_128x128", "--base", PAPER, "--space", path)
    assert "pip install 'hybridsim[search]'" in told


def test_a_space_of_which_nothing_can_be_run_is_refused_with_a_reason(tmp_path: Path) -> None:
    few = {"tile.count": 1, "mapping.overflow": "refuse"}
    given: Any = {"time": None, "settings": few, "tokens": 8, "layers_only": True}
    with pytest.raises(InputError, match="no point of 2 can be run; the first: "):
        design("minilm_l6", PAPER, space=space(tmp_path, {"strategy.batch": [4, 8]}), **given)


def test_a_machine_that_tells_no_energy_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "silent.yaml"
    path.write_text(f"extends: {PAPER}\nenergy: null\n", encoding="utf-8")
    with pytest.raises(InputError, match="energy_pj: machine silent does not give"):
        design("layer_128x128", path)


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ({"tile.integration_time": {"from": "128 ns", "to": "512 ns", "factor": 2}}, 2),
        ({"tile": {"slow": {"tile.integration_time": "512 ns"},
                   "fast": {"tile.integration_time": "256 ns"}}}, 2),
        ({"strategy.batch": [8, 16]}, 1),
    ],
)  # fmt: skip
def test_accuracy_follows_the_integration_time_however_it_is_varied(
    tmp_path: Path, axes: dict[str, Any], names: int
) -> None:
    """Ranges, groups, or the machine's own: no time without evidence has an accuracy."""
    path = space(tmp_path, axes)
    limits = ["accuracy >= 70 % @ 10y"]
    found = asked(Question("minilm_l6", PAPER, limits, space=path, evidence=[Path(RESULTS)]))
    assert len(found.inputs.study.accuracy_axes) == names
    assert found.known["rank8" if names == 1 else next(k for k in found.known if "rank8" in k)]
    assert not any("128 ns" in name for name in found.known)


@pytest.mark.parametrize("wrong", [{"set": 0}, {"set": None}, {"constraints": 3}])
def test_a_space_of_another_form_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    key = next(iter(wrong))
    with pytest.raises(
        InputError, match=rf"space.yaml: {key}: found '.*'; a (mapping|list) would"
    ):
        design("layer_128x128", PAPER, time=None, space=space(tmp_path, KNOBS, **wrong))
