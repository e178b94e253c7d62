"""Names of earlier releases: each still leads to what it meant, and says once what it is now."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import hybridsim
from hybridsim import Result, _old_names, strategies
from hybridsim.cli import app
from hybridsim.codesign.study import CodesignStudy
from hybridsim.generation import GenerationTimes, strategy_for
from hybridsim.measure.generation import Generation
from hybridsim.report.page.comparison import comparison_of_folder
from hybridsim.report.page.sweep import sweep_of_folder
from hybridsim.service import ServiceResult, poisson_requests, run_service
from hybridsim.simulation import execute
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import Study

ONE = ("layer_128x128", "ahwa_lora_2026")
OLD = {new: old for old, new in _old_names.STILL_WRITTEN.items()}


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_old_names, "_SAID", set())


def says(text: str, use: Callable[[], Any]) -> Any:
    """Use an old name twice: it says what it is now the first time, and where it stands."""
    with pytest.warns(FutureWarning, match=f"^{re.escape(text)}$") as said:
        found = use()
    assert [Path(one.filename) for one in said] == [Path(__file__)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use()
    return found


def result(**more: Any) -> Result:
    return hybridsim.simulate(*hybridsim.load(*ONE), tokens=8, **more)


def generation() -> Generation:
    network, machine = hybridsim.load("gpt2", "harp_2026:gpt2")
    return hybridsim.generate(network, machine, prompt=2, new=2)


# --- Python ---------------------------------------------------------------------------------


def test_attributes_of_a_result() -> None:
    found = result()
    layer = found.layers[0]
    assert says("Result.scheduler is now strategy", lambda: found.scheduler) == found.strategy
    with pytest.warns(FutureWarning, match="Result.all_analog_ps is now yardstick_ps"):
        assert found.all_analog_ps == found.yardstick_ps
    with pytest.warns(FutureWarning, match="LayerResult.all_analog_ps is now yardstick_ps"):
        assert layer.all_analog_ps == layer.yardstick_ps
    energy = hybridsim.simulate(*hybridsim.load("layer_128x128", "harp_2026"), tokens=8).energy
    assert energy is not None
    with pytest.warns(FutureWarning, match="without_adapters_pj is now yardstick_pj"):
        assert energy.without_adapters_pj == energy.yardstick_pj


def test_attributes_of_a_generation() -> None:
    found = generation()
    for answer, names in (
        (found, ("bare_ps", "bare_token_ps", "bare_token_pj")),
        (found.prefill, ("bare_ps", "bare_critical_path_share")),
        (found.prefill.energy, ("bare_pj", "bare_per_token_pj", "bare_static_aj")),
    ):
        for name in names:
            with pytest.warns(FutureWarning, match=f"{name} is now yardstick"):
                old = getattr(answer, name)
            assert old == getattr(answer, _old_names.COLUMNS[name])


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (hybridsim, "make_scheduler", "make_strategy"),
        (hybridsim, "Scheduler", "Strategy"),
        (strategies, "make_scheduler", "make_strategy"),
        (strategies, "SCHEDULERS", "STRATEGIES"),
        (strategies, "Scheduler", "Strategy"),
    ],
)
def test_names_of_a_module(module: Any, old: str, new: str) -> None:
    found = says(f"{module.__name__}.{old} is now {new}", lambda: getattr(module, old))
    assert found is getattr(module, new)
    assert old not in module.__all__


def test_a_name_that_never_was_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'hybridsim' has no attribute 'nothing'"):
        _ = hybridsim.nothing  # type: ignore[attr-defined]


def test_keywords_of_functions() -> None:
    auto = strategies.make_strategy("auto")
    found = says("simulate(scheduler=) is now strategy=", lambda: result(scheduler=auto))
    assert found.strategy == "auto"
    network, machine = hybridsim.load(*ONE)
    with pytest.warns(FutureWarning, match=r"execute\(scheduler=\) is now strategy="):
        run = execute(network, machine, scheduler=auto, tokens=8)  # type: ignore[call-arg]
    assert run.result == found
    with pytest.warns(FutureWarning, match=r"compare\(schedulers=\) is now strategies="):
        both = hybridsim.compare(  # type: ignore[call-arg]
            network, machine, schedulers=["auto", "token_parallel"], tokens=8
        )
    assert [row["strategy"] for row in both.rows] == ["auto", "token_parallel"]


def test_keywords_of_a_class() -> None:
    network, machine = hybridsim.load("gpt2", "harp_2026:gpt2")
    given = {"scheduler": strategy_for({}, "xb_pipe")}
    found = says(
        "GenerationTimes(scheduler=) is now strategy=",
        lambda: GenerationTimes(network, machine, **given),  # type: ignore[arg-type]
    )
    new = GenerationTimes(network, machine, strategy_for({}, "xb_pipe"))
    assert found.times(2, 2) == new.times(2, 2)


def test_a_keyword_is_given_once() -> None:
    auto = strategies.make_strategy("auto")
    with pytest.raises(TypeError, match="got both 'strategy' and 'scheduler'"):
        result(scheduler=auto, strategy=auto)


def test_sequences_of_a_generation_were_a_batch() -> None:
    network, machine = hybridsim.load("gpt2", "harp_2026:gpt2")
    found = says(
        "generate(batch=) is now sequences=",
        lambda: hybridsim.generate(network, machine, prompt=2, new=2, batch=3),  # type: ignore[call-arg]
    )
    assert says("Generation.batch is now sequences", lambda: found.batch) == found.sequences == 3
    times = GenerationTimes(network, machine)
    with pytest.warns(FutureWarning, match=r"GenerationTimes.times\(batch=\) is now sequences="):
        old = times.times(2, 2, batch=3)  # type: ignore[call-arg]
    assert old == times.times(2, 2, 3)


@pytest.mark.parametrize("name", strategies.NETWORK_STRATEGIES)
def test_batches_of_whole_networks_were_chunks(name: str) -> None:
    made = says("option 'chunk' is now 'batch'", lambda: make_strategy(name, {"chunk": 8}))
    assert made == make_strategy(name, {"batch": 8})
    kept = says(
        "keep_adapters 'chunk' is now 'batch'",
        lambda: make_strategy(name, {"keep_adapters": "chunk"}),
    )
    assert kept == make_strategy(name, {"keep_adapters": "batch"})
    with pytest.warns(FutureWarning, match=r"NetworkStrategy.chunk is now batch"):
        assert made.chunk == made.batch  # type: ignore[attr-defined]
    with pytest.raises(hybridsim.SpecError, match="option 'chunk' is now 'batch'"):
        make_strategy(name, {"chunk": 8, "batch": 8})


def test_chunks_of_a_generation() -> None:
    found = says("option 'chunk' is now 'batch'", lambda: strategy_for({"chunk": 8}))
    assert found == strategy_for({"batch": 8})


def test_compare_gives_chunks_to_strategies_for_networks_alone() -> None:
    network, machine = hybridsim.load("minilm_l6", "harp_2026")
    names = ["xb_pipe", "token_parallel"]
    with pytest.warns(FutureWarning, match="option 'chunk' is now 'batch'"):
        old = hybridsim.compare(network, machine, names, 16, {"chunk": 8})
    apart = [
        hybridsim.compare(network, machine, names[:1], 16, {"batch": 8}),
        hybridsim.compare(network, machine, names[1:], 16),
    ]
    assert old.rows == tuple(row for each in apart for row in each.rows)


# --- what is written, and what was ----------------------------------------------------------


def as_it_was(document: Any, names: dict[str, str]) -> Any:
    """Return a document as an earlier release wrote it: under old names."""
    if isinstance(document, dict):
        old = {new: old for old, new in names.items()}
        return {old.get(key, key): as_it_was(each, names) for key, each in document.items()}
    return (
        [as_it_was(each, names) for each in document] if isinstance(document, list) else document
    )


def test_documents_have_two_old_keys_and_no_more() -> None:
    found = result()
    document = json.loads(found.to_json())
    assert document["scheduler"] == document["strategy"] == "token_parallel"
    assert document["all_analog_ps"] == document["yardstick_ps"] == found.yardstick_ps
    assert {*OLD.values(), *_old_names.COLUMNS} & set(document) == set(OLD.values())
    assert not {*OLD.values()} & {*document["inputs"], *document["layers"][0]}
    assert not {*OLD.values()} & {*found.model_dump(), *found.to_frame().columns}
    assert Result.from_json(found.to_json()) == found


def test_a_result_of_an_earlier_release_is_read_in_silence() -> None:
    found = result()
    names = {"scheduler": "strategy", "all_analog_ps": "yardstick_ps"}
    document = json.loads(found.to_json())
    for old in names:
        del document[old]
    old = as_it_was(document, names)
    assert "strategy" not in old["inputs"]
    assert Result.from_json(json.dumps(old)) == found


def test_a_generation_of_an_earlier_release_is_read_in_silence() -> None:
    found = generation()
    document = json.loads(found.to_json())
    assert document.pop("scheduler") == document["strategy"]
    bare = {old: new for old, new in _old_names.ANSWERS.items() if old.startswith("bare")}
    document["batch"] = document.pop("sequences")
    old = as_it_was(document, bare | {"scheduler": "strategy"})
    assert "bare_token_ps" in old
    assert Generation.from_json(json.dumps(old)) == found


def test_a_service_of_an_earlier_release_is_read_in_silence() -> None:
    requests = poisson_requests(["a"], 1.0, 2, 8, 0, 0)
    found = run_service(*hybridsim.load("mobilebert", "ahwa_lora_2026:served"), requests).result
    document = json.loads(found.model_dump_json())
    assert document["scheduler"] == document.pop("strategy")
    assert ServiceResult.model_validate(document) == found


def test_pages_of_earlier_folders_are_written_again(tmp_path: Path) -> None:
    few = ("--strategies", "token_parallel,early_xa", "--tokens", "8", "--out", str(tmp_path))
    assert CliRunner().invoke(app, ["compare", *ONE, *few]).exit_code == 0
    page = comparison_of_folder(tmp_path)
    path = tmp_path / "comparison.json"
    old = path.read_text("utf-8").replace("yardstick_ps", "all_analog_ps")
    assert "all_analog_ps" in old
    path.write_text(old, "utf-8")
    (tmp_path / "SHA256SUMS").unlink()  # earlier releases left no checksums
    assert comparison_of_folder(tmp_path) == page


def test_folders_of_earlier_sweeps_are_read_in_silence(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(json.dumps(today() | {"set": {"strategy.buffers": 2}}), "utf-8")
    out = tmp_path / "out"
    assert CliRunner().invoke(app, ["sweep", str(study), "--out", str(out)]).exit_code == 0
    page = sweep_of_folder(out)
    table = pd.read_parquet(out / "sweep.parquet")
    old = {"yardstick_ps": "all_analog_ps", "strategy.batch": "scheduler.batch"}
    table.rename(columns=old).to_parquet(out / "sweep.parquet")
    text = (out / "study.json").read_text("utf-8")
    for old, new in (("scheduler", "strategy"), ("all_analog_ps", "yardstick_ps")):
        text = re.sub(f'"{new}(?=["s.])', f'"{old}', text)
    assert '"scheduler"' in text
    assert "scheduler.buffers" in text
    (out / "study.json").write_text(text, "utf-8")
    (out / "SHA256SUMS").unlink()  # earlier releases left no checksums
    assert sweep_of_folder(out).count("<tr") == page.count("<tr")


# --- studies --------------------------------------------------------------------------------


def today() -> dict[str, Any]:
    return {
        "name": "words",
        "machine": "ahwa_lora_2026",
        "network": "layer_128x128",
        "tokens": 8,
        "strategy": {"kind": "token_parallel"},
        "axes": {"strategy.batch": [4, 8], "tile.integration_time": ["128 ns", "256 ns"]},
        "objectives": {"yardstick_ps": "minimise"},
        "constraints": ["yardstick_ps < 1 s", "strategy.batch > 1"],
        "keep": ["latency_ps", "yardstick_ps"],
        "per": ["strategy.batch"],
    }


OLD_STUDIES = {
    "key": ("key 'scheduler' is now 'strategy'", {"scheduler": {"kind": "token_parallel"}}),
    "kept": (
        "column 'all_analog_ps' is now 'yardstick_ps'",
        {"keep": ["latency_ps", "all_analog_ps"]},
    ),
    "sought": (
        "column 'all_analog_ps' is now 'yardstick_ps'",
        {"objectives": {"all_analog_ps": "minimise"}},
    ),
    "compared": (
        "column 'all_analog_ps' is now 'yardstick_ps'",
        {"constraints": ["all_analog_ps < 1 s", "strategy.batch > 1"]},
    ),
    "given": ("scheduler.* is now strategy.*", {"per": ["scheduler.batch"]}),
    "set": ("scheduler.* is now strategy.*", {"set": {"scheduler.buffers": 2}}),
}


@pytest.mark.parametrize("case", OLD_STUDIES)
def test_studies_in_old_words(case: str) -> None:
    text, old = OLD_STUDIES[case]
    new = today() | ({"set": {"strategy.buffers": 2}} if case == "set" else {})
    given = new | old
    if case == "key":
        del given["strategy"]
    assert says(f"{text}", lambda: Study.model_validate(given)) == Study.model_validate(new)


def test_axes_keep_the_names_that_a_study_gives_them() -> None:
    given = today()
    axes = {
        "scheduler.batch": [4, 8],
        "way": {"a": {"scheduler.unit": "cores"}, "b": {"scheduler.unit": "matrix_engine"}},
    }
    study = Study.model_validate(given | {"axes": axes})
    assert study.per == ("scheduler.batch",)
    inputs = says("scheduler.* is now strategy.*", lambda: read_inputs(study, "study"))
    assert [axis.column for axis in inputs.axes] == ["scheduler.batch", "way"]
    assert [axis.paths for axis in inputs.axes] == [("strategy.batch",), ("strategy.unit",)]
    table = hybridsim.sweep(study)
    assert [*table.columns[:4]] == ["scheduler.batch", "way", "latency_ps", "yardstick_ps"]


@pytest.mark.filterwarnings("ignore:scheduler:FutureWarning")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scheduler": "auto"}, "key 'scheduler' is now 'strategy', which is given as well"),
        (
            {"set": {"strategy.buffers": 2, "scheduler.buffers": 3}},
            "'scheduler.buffers' is now 'strategy.buffers', which is given as well",
        ),
        ({"axes": {"strategy.batch": [1], "scheduler.batch": [2]}}, "sets already"),
        (
            {"axes": {"w": {"a": {"strategy.batch": 1, "scheduler.batch": 2}}}, "per": []},
            "'scheduler.batch' is now 'strategy.batch', which is given as well",
        ),
    ],
)
def test_both_names_of_one_thing_are_refused(change: dict[str, Any], problem: str) -> None:
    def read() -> None:
        read_inputs(hybridsim.specs.validate(Study, today() | change, "study"))  # type: ignore[attr-defined]

    with pytest.raises(hybridsim.SpecError, match=re.escape(problem)):
        read()


def test_co_design_studies_in_old_words() -> None:
    given: dict[str, Any] = {
        "name": "words", "question": "", "network": "bert_base", "after": "1y",
        "results": ["here"], "machines": {"m": {"machine": "ahwa_lora_2026"}},
        "integration_times": ["128 ns"], "strategy": "auto",
        "noise": {"output_noise": 0.1, "integration_time": "256 ns", "source": "assumed here"},
        "constraints": ["yardstick_ps < 1000"], "objectives": {"yardstick_ps": "minimise"},
        "ship": {"then": ["yardstick_ps"]},
    }  # fmt: skip
    new = CodesignStudy.model_validate(given)
    text = (
        json.dumps(given).replace("yardstick_ps", "all_analog_ps").replace("strategy", "scheduler")
    )
    with pytest.warns(FutureWarning) as said:
        assert CodesignStudy.model_validate(json.loads(text)) == new
    assert {str(one.message) for one in said} == {
        "key 'scheduler' is now 'strategy'", "column 'all_analog_ps' is now 'yardstick_ps'",
    }  # fmt: skip


# --- the command line -----------------------------------------------------------------------


def command(*arguments: str) -> tuple[str, str]:
    """Return what a command prints, and what it says beside that."""
    done = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize("old", [("--scheduler", "auto"), ("--scheduler=auto",)])
def test_an_old_option_says_so_in_one_line(old: tuple[str, ...]) -> None:
    run = ("run", *ONE, "--tokens", "8")
    new, _ = command(*run, "--strategy", "auto")
    assert command(*run, *old) == (new, "--scheduler is now --strategy\n")
    assert command(*run, *old) == (new, "")
    assert "--scheduler" not in command("run", "--help")[0]


def test_an_old_setting_says_so_in_one_line() -> None:
    run = ("run", *ONE, "--tokens", "8", "--set")
    new, _ = command(*run, "strategy.batch=4")
    assert command(*run, "scheduler.batch=4") == (new, "scheduler.* is now strategy.*\n")


def test_sequences_under_their_old_option() -> None:
    generate = ("generate", "gpt2", "harp_2026:gpt2", "--prompt", "2", "--new", "2")
    new, _ = command(*generate, "--sequences", "3")
    assert command(*generate, "--batch", "3") == (new, "--batch is now --sequences\n")


def test_several_strategies_under_the_old_name() -> None:
    compare = ("compare", *ONE, "--tokens", "8")
    new, _ = command(*compare, "--strategies", "token_parallel")
    old = command(*compare, "--schedulers", "token_parallel")
    assert old == (new, "--schedulers is now --strategies\n")


def test_what_follows_two_dashes_is_no_option() -> None:
    done = CliRunner().invoke(app, ["show", "--", "--scheduler"])
    assert "'--scheduler' is not known" in done.stderr
    assert "is now" not in done.stderr


def test_old_words_of_a_study_are_said_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    given = today()
    given["scheduler"] = given.pop("strategy")
    path.write_text(json.dumps(given), "utf-8")
    _, said = command("sweep", str(path), "--quiet")
    assert said == "key 'scheduler' is now 'strategy'\n"
