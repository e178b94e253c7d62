"""Sweeps as a whole: the same table whatever computes it and whenever it dies."""

import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hybridsim
from hybridsim import TokenParallel, load, simulate
from hybridsim.errors import InputError
from hybridsim.strategies import make_strategy
from hybridsim.sweeps import chunks, executors, run_study, sweep
from hybridsim.sweeps import inputs as inputs_module
from hybridsim.sweeps import run as run_module
from hybridsim.sweeps.audits import Audit
from hybridsim.sweeps.chunks import Pace
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.recorded import Span
from hybridsim.sweeps.study import read_study

pytest.importorskip("pyarrow", reason="recording needs pyarrow (extra 'sweep')")

from tests.sweeps import killing
from tests.sweeps.random_studies import NETWORKS, inputs_of


def test_a_row_is_what_simulate_finds(studies) -> None:
    table = sweep(
        studies.write(keep=["latency_ps", "overhead_percent", "tiles", "tasks", "bound"])
    )
    row = table[
        (table["tile.integration_time_ps"] == 256_000)
        & (table["strategy.batch"] == 4)
        & (table["adapters.rank"] == 8)
    ].iloc[0]
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    result = simulate(network, machine, TokenParallel(batch=4), 16)
    for name in ("latency_ps", "overhead_percent", "tcdm_bytes", "tiles", "tasks", "bound"):
        assert row[name] == getattr(result, name)


def test_the_overhead_of_the_paper_is_what_simulate_finds_for_every_strategy(studies) -> None:
    kinds = ["token_parallel", "cross_layer", "network"]
    path = studies.write(
        network="minilm_l6", keep=["overhead_percent", "layer_by_layer_percent"],
        axes={"strategy": kinds},
    )  # fmt: skip
    result = run_study(read_inputs(read_study(path), str(path)), audit=1)
    assert result.audit == Audit(3, ())
    for kind, own in result.table.groupby("strategy", observed=True):
        for row in own.to_dict("records"):
            network, machine = load("minilm_l6", "ahwa_lora_2026")
            found = simulate(network, machine, make_strategy(kind, {}), 16)
            told = row["layer_by_layer_percent"]
            assert found.layer_by_layer_percent == (None if pd.isna(told) else told), kind
            assert row["overhead_percent"] == found.overhead_percent
    apart = result.table.set_index("strategy")
    streamed = apart.loc["cross_layer"]
    assert (streamed["layer_by_layer_percent"] != streamed["overhead_percent"]).all()


def test_a_network_of_many_layers_is_what_simulate_finds(studies) -> None:
    table = sweep(studies.write(network="minilm_l6", axes={"strategy.batch": [None, 4]}))
    network, machine = load("minilm_l6", "ahwa_lora_2026")
    for row, batch in zip(table.itertuples(), (None, 4), strict=True):
        result = simulate(network, machine, TokenParallel(batch=batch), 16)
        assert row.latency_ps == result.latency_ps
        assert row.yardstick_ps == result.yardstick_ps
        assert row.batch == min(layer.batch for layer in result.layers)


def test_the_table_has_units_in_its_columns_and_the_summary_beside_it(studies) -> None:
    table = hybridsim.sweep(studies.write())
    assert list(table.columns) == [
        "tile.integration_time_ps", "strategy.batch", "adapters.rank", "latency_ps",
        "yardstick_ps", "tcdm_bytes", "batch", "buffers", "overhead_percent", "problem",
        "feasible", "pareto",
    ]  # fmt: skip
    assert table.attrs["points"] == 12


def test_what_cannot_run_is_a_row_with_its_problem(studies) -> None:
    table = sweep(
        studies.write(network="layer_512x128", tokens=128, axes={"strategy.batch": [8, 128]})
    )
    assert table["problem"].tolist() == ["", "does not fit the TCDM of a cluster"]
    assert table["feasible"].tolist() == [True, False]
    assert pd.isna(table["latency_ps"].iloc[1])


@pytest.fixture(scope="module")
def plain_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A study file of the small study, and the table that one process makes of it."""
    from tests.sweeps.conftest import Studies

    folder = tmp_path_factory.mktemp("plain")
    study = Studies(folder).write()
    sweep(study, folder / "out")
    return study, (folder / "out" / "sweep.parquet").read_bytes()


@pytest.mark.parametrize(
    "executor",
    ["in-process", "processes:2", pytest.param("dask:1", marks=pytest.mark.slow)],
)
def test_every_executor_makes_the_same_table(
    executor: str, plain_table: tuple[Path, bytes], tmp_path: Path
) -> None:
    if executor.startswith("dask"):
        pytest.importorskip("distributed", reason="needs Dask (extra 'dask')")
    study, expected = plain_table
    sweep(study, tmp_path, executor)
    assert (tmp_path / "sweep.parquet").read_bytes() == expected


@pytest.mark.slow
def test_a_cluster_is_found_by_its_address(
    plain_table: tuple[Path, bytes], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs Dask (extra 'dask')")
    study, expected = plain_table
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        sweep(study, tmp_path, f"dask://{address}")
    assert (tmp_path / "sweep.parquet").read_bytes() == expected


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["in-process", "processes:2"])
def test_killed_at_random_moments_it_ends_with_the_same_table(
    executor: str, tmp_path: Path
) -> None:
    study, whole = killing.write_study(tmp_path), tmp_path / "whole"
    table = killing.finish(whole, killing.swept(study, whole))
    out = tmp_path / "killed"
    sweeping = killing.swept(study, out, executor)
    killed = killing.kill_often(out, sweeping, 2, random.Random(1))
    assert killed == sorted(killed)
    assert killed[0] > 0
    assert killed[-1] < killing.POINTS
    assert killing.finish(out, sweeping) == table
    assert sorted(killing.recorded_points(out)) == [*range(killing.POINTS)]


@pytest.mark.slow
def test_killed_workers_are_replaced(tmp_path: Path) -> None:
    study, out = killing.write_study(tmp_path), tmp_path / "out"
    sweeping = killing.swept(study, out, "processes:2")
    code, died = killing.kill_workers(out, sweeping, 2, random.Random(1))
    assert (code, died > 0) == (0, True)
    assert sorted(killing.recorded_points(out)) == [*range(killing.POINTS)]


@pytest.mark.slow
def test_a_merge_that_is_killed_goes_on(tmp_path: Path) -> None:
    study, whole = killing.write_study(tmp_path), tmp_path / "whole"
    table = killing.finish(whole, killing.swept(study, whole))
    shards = [tmp_path / "1", tmp_path / "2"]
    for i, shard in enumerate(shards):
        sharding = (*killing.swept(study, shard), "--shard", f"{i + 1}/2")
        assert killing.start(*sharding).wait() == 0
    out = tmp_path / "merged"
    merging = ("sweep", "merge", str(out), *map(str, shards))
    killing.kill_often(out, merging, 2, random.Random(1))
    assert killing.finish(out, merging) == table
    assert sorted(killing.recorded_points(out)) == [*range(killing.POINTS)]


class Dying(Executor):
    """An executor whose processes die with every third chunk, or with all."""

    def __init__(self, every: int) -> None:
        self.every, self.asked, self.begun = every, 0, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.asked += 1
        future: Future[Any] = Future()
        if self.asked % self.every == 0:
            future.set_exception(BrokenProcessPool("died"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future

    def begin_again(self) -> None:
        self.begun += 1


def test_what_a_dead_process_was_doing_is_done_again(
    studies, plain_table: tuple[Path, bytes], tmp_path: Path, monkeypatch
) -> None:
    dying = Dying(3)
    monkeypatch.setattr(run_module, "open_executor", lambda _: nullcontext((dying, 2)))
    monkeypatch.setattr(chunks, "Processes", Dying)
    monkeypatch.setattr(chunks, "GROWTH", 1)
    sweep(plain_table[0], tmp_path)
    assert dying.begun > 0
    assert (tmp_path / "sweep.parquet").read_bytes() == plain_table[1]


class Closing(executors.InProcess):
    """A pool that closes its pipes while it starts a process, the first time."""

    begun = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        Closing.begun += 1

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if Closing.begun == 1:
            raise ValueError("bad value(s) in fds_to_keep")
        return super().submit(fn, *args, **kwargs)


def test_a_pool_that_breaks_while_it_starts_a_process_is_replaced(
    studies, plain_table: tuple[Path, bytes], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(executors, "ProcessPoolExecutor", Closing)
    assert executors.Processes(2).submit(int).exception() is not None
    Closing.begun = 0
    sweep(plain_table[0], tmp_path, executor="processes:2")
    assert Closing.begun == 2
    assert (tmp_path / "sweep.parquet").read_bytes() == plain_table[1]


def test_processes_that_always_die_end_with_one_sentence(studies, monkeypatch) -> None:
    dying = Dying(1)
    monkeypatch.setattr(run_module, "open_executor", lambda _: nullcontext((dying, 2)))
    monkeypatch.setattr(chunks, "Processes", Dying)
    with pytest.raises(InputError, match="processes died 4 times and finished nothing"):
        run_study(studies.inputs())


def test_a_second_run_computes_nothing(studies, tmp_path: Path, monkeypatch) -> None:
    inputs = studies.inputs()
    first = run_study(inputs, tmp_path / "out")
    monkeypatch.setattr(run_module, "evaluate_all", None)
    second = run_study(inputs, tmp_path / "out")
    assert (first.recorded_before, second.recorded_before) == (0, 12)
    assert second.table.equals(first.table)


def test_a_longer_axis_only_adds_its_points(studies, tmp_path: Path) -> None:
    run_study(studies.inputs(), tmp_path / "out")
    axes = studies.inputs().study.axes | {"strategy.batch": [1, 2, 4, 16]}
    longer = run_study(studies.inputs(axes=axes), tmp_path / "out")
    assert longer.recorded_before == 12
    assert longer.table.equals(run_study(studies.inputs(axes=axes)).table)


def test_another_model_version_computes_all_again(studies, tmp_path: Path, monkeypatch) -> None:
    run_study(studies.inputs(), tmp_path / "out")
    monkeypatch.setattr(inputs_module, "model_version", lambda: "another")
    assert run_study(studies.inputs(), tmp_path / "out").recorded_before == 0


def test_an_audit_agrees_and_says_how_many(studies) -> None:
    result = run_study(studies.inputs(), audit=0.3)
    assert result.audit is not None
    assert (result.audit.points, result.audit.differences) == (4, ())


def test_an_audit_finds_what_is_wrong(studies, tmp_path: Path, monkeypatch) -> None:
    """A recorded latency that is one picosecond off is told with its point."""
    inputs = studies.inputs()
    run_study(inputs, tmp_path / "out")
    rows = Span.rows

    def altered(*arguments: Any) -> Any:
        for indices, columns in rows(*arguments):
            changed = dict(columns)
            if "latency_ps" in changed:
                changed["latency_ps"] = columns["latency_ps"] + (indices == 7)
            yield indices, changed

    monkeypatch.setattr(Span, "rows", altered)
    result = run_study(inputs, tmp_path / "out", audit=1)
    assert result.audit is not None
    (difference,) = result.audit.differences
    assert "tile.integration_time=256 ns, strategy.batch=1, adapters.rank=8" in difference
    assert "latency_ps" in difference


def test_ctrl_c_keeps_what_was_finished(tmp_path: Path) -> None:
    study, out = killing.write_study(tmp_path), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", killing.PROGRAM, "sweep", str(study), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not killing.ended_within(process, 0.01) and len(list(out.glob("part-*"))) < 2:
        pass
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.startswith("hybridsim: interrupted after ")
    done = int(stderr.split()[3])
    assert 2 <= done < killing.POINTS
    assert sum(1 for _ in killing.recorded_points(out)) == done


@pytest.mark.parametrize(
    ("executor", "says"),
    [
        ("threads", "would do"),
        ("processes:0", "with N of 1 to 1024"),
        ("processes:x", "with N of 1 to 1024"),
        ("dask://", "as in dask://host:8786"),
    ],
)
def test_an_executor_that_is_none_is_refused(studies, executor: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run_study(studies.inputs(), executor=executor)


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_refused(studies, monkeypatch) -> None:
    pytest.importorskip("distributed", reason="needs Dask")
    monkeypatch.setattr(executors, "PATIENCE", "1s")
    with pytest.raises(InputError, match=r"no Dask scheduler at 127\.0\.0\.1:9"):
        run_study(studies.inputs(), executor="dask://127.0.0.1:9")


@pytest.mark.slow
def test_workers_of_a_cluster_that_die_again_and_again_end_in_a_sentence() -> None:
    pytest.importorskip("distributed", reason="needs Dask")
    with (
        pytest.raises(InputError, match="died again and again"),
        executors.open_executor("dask:1") as (pool, _),
    ):
        pool.submit(os._exit, 1).result()


def test_without_dask_its_executor_is_refused(studies, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'hybridsim\[dask\]'"):
        run_study(studies.inputs(), executor="dask")


def test_importing_hybridsim_imports_no_extra() -> None:
    program = (
        "import sys, hybridsim; print({'pyarrow','dask','distributed','optuna'}&{*sys.modules})"
    )
    # pandas looks for pyarrow itself, so it is asked for without it
    program = program.replace("'pyarrow',", "")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


class TestShards:
    """Shards of a study, each into a folder of its own, make one sweep."""

    def shards(self, cli, study: Path, folder: Path, count: int) -> list[str]:
        names = [str(folder / f"shard{i + 1}") for i in range(count)]
        for i, name in enumerate(names):
            done = cli("sweep", str(study), "--out", name, "--shard", f"{i + 1}/{count}")
            assert f"shard {i + 1} of {count}, " in done.stdout, done.stderr
        return names

    def test_four_shards_merged_equal_one_run_byte_for_byte(self, cli, studies) -> None:
        study, folder = studies.write(constraints=["latency_ps < 1 ms"]), studies.folder
        cli("sweep", str(study), "--out", str(folder / "whole"))
        shards = self.shards(cli, study, folder, 4)
        merged = cli("sweep", "merge", str(folder / "merged"), *shards)
        assert "12 points, 0 without a result" in merged.stdout
        files = ["page.html", "study.json", "sweep_best.csv", "sweep_pareto.csv", "sweep.json",
                 "sweep.parquet", "SHA256SUMS"]  # fmt: skip
        for name in files:
            one, other = (folder / part / name for part in ("whole", "merged"))
            assert one.read_bytes() == other.read_bytes(), name
        again = cli.json("sweep", "merge", str(folder / "merged"), *shards)
        assert again["recorded_before"] == 12

    def test_shards_of_different_studies_are_refused(self, cli, studies) -> None:
        one = self.shards(cli, studies.write(), studies.folder, 2)
        other = studies.folder / "other"
        changed = studies.write(name="other", tokens=8)
        cli("sweep", str(changed), "--out", str(other), "--shard", "2/2")
        said = cli.refused("sweep", "merge", str(studies.folder / "out"), one[0], str(other))
        assert "are shards of different studies (other and small)" in said
        assert not (studies.folder / "out").exists()

    def test_parts_of_another_study_are_refused(self, cli, studies) -> None:
        one = self.shards(cli, studies.write(), studies.folder, 1)
        cli("sweep", str(studies.write(tokens=8)), "--out", one[0], "--shard", "1/1")
        said = cli.refused("sweep", "merge", str(studies.folder / "out"), one[0])
        assert "is not of the study small" in said

    def test_a_missing_shard_is_told_with_a_point_that_it_has(self, cli, studies) -> None:
        shards = self.shards(cli, studies.write(), studies.folder, 2)
        said = cli.refused("sweep", "merge", str(studies.folder / "out"), shards[0])
        assert "6 of 12 points are missing, as tile.integration_time=256 ns" in said
        assert not (studies.folder / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--shard", "0/4"), "as in 1/4 for the first of four"),
            (("--shard", "5/4"), "as in 1/4 for the first of four"),
            (("--shard", "1/2"), "give --out DIR as well"),
            (("--shard", "1/2", "--audit", "1%"), "are for whole sweeps"),
        ],
    )
    def test_a_shard_that_is_none_is_refused(self, cli, studies, arguments, says: str) -> None:
        assert says in cli.refused("sweep", str(studies.write()), *arguments)

    def test_what_is_no_shard_is_refused(self, cli, studies, tmp_path: Path) -> None:
        (shard,) = self.shards(cli, studies.write(), studies.folder, 1)
        empty, out = tmp_path / "empty", str(tmp_path / "out")
        empty.mkdir()
        assert "study.json" in cli.refused("sweep", "merge", out, str(empty))
        assert "is one of the shards" in cli.refused("sweep", "merge", shard, shard)
        (empty / "study.json").write_bytes((Path(shard) / "study.json").read_bytes())
        assert "holds no recorded points" in cli.refused("sweep", "merge", out, str(empty))

    # submitit leaves the logs of debugged jobs to the garbage collector
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    @pytest.mark.parametrize(
        "executor",
        ["slurm-debug:2", pytest.param("slurm-local:2", marks=pytest.mark.slow)],
    )
    def test_jobs_make_the_same_table(
        self, cli, plain_table: tuple[Path, bytes], tmp_path: Path, executor: str
    ) -> None:
        if not os.environ.get("CI"):  # there it is installed, and its lack no reason to skip
            pytest.importorskip("submitit", reason="needs submitit (extra 'slurm')")
        done = cli("sweep", str(plain_table[0]), "--out", str(tmp_path), "--executor", executor)
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / "sweep.parquet").read_bytes() == plain_table[1]

    def test_jobs_that_make_no_sense_are_refused(self, cli, studies, monkeypatch) -> None:
        study, out = str(studies.write()), str(studies.folder / "out")
        assert "with N of 1 to" in cli.refused("sweep", study, "--executor", "slurm:0")
        assert "needs --out DIR" in cli.refused("sweep", study, "--executor", "slurm:2")
        monkeypatch.setitem(sys.modules, "submitit", None)
        said = cli.refused("sweep", study, "--executor", "slurm:2", "--out", out)
        assert "pip install 'hybridsim[slurm]'" in said

    def test_many_points_are_swept_in_shards_and_not_at_once(self, studies) -> None:
        """A thousandth of 10^9 points takes the memory of a million of them."""
        many = {f"cluster.{path}": {"from": 1, "to": 1000, "step": 1} for path in ("a", "b")}
        inputs = inputs_of(
            NETWORKS["small_bert"], "one", {"kind": "token_parallel"},
            {**many, "tokens": [*range(1, 1001)]}, 5, ["latency_ps"],
        )  # fmt: skip
        with pytest.raises(InputError, match="1,000,000,000 points, and one table or shard"):
            run_study(inputs)
        tracemalloc.start()
        span = Span.of(inputs, (7, 1000))
        left = span.left(span.nothing_done())
        assert (len(left), left.take(3).tolist()) == (10**6, span.cases.at(
            6 * 10**6 + np.arange(3)).tolist())  # fmt: skip
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
        tracemalloc.stop()


class TestPace:
    def test_chunks_grow_until_overhead_does_not_matter(self) -> None:
        pace = Pace()
        for _ in range(12):
            pace.measured(pace.size, pace.size * 0.001, 0.05)
        assert pace.size == 1000  # 1 s, of which 0.05 s are overhead

    def test_the_first_chunks_are_small(self) -> None:
        pace = Pace()
        pace.measured(1, 1e-6, 0.001)
        assert pace.size == 16

    def test_no_more_go_together_however_little_they_take(self) -> None:
        pace = Pace()
        for _ in range(12):
            pace.measured(pace.size, pace.size * 1e-9, 0.05)
        assert pace.size == chunks.MOST_TOGETHER

    def test_workers_share_what_is_left(self) -> None:
        pace = Pace(size=1000)
        assert pace.chunk(100, 1) == 100
        assert pace.chunk(100, 2) == 25


class TestCommand:
    def test_it_ends_with_the_front_the_best_and_the_shares(self, cli, studies) -> None:
        done = cli("sweep", str(studies.write()), "--audit", "10%")
        assert done.exit_code == 0
        assert done.stderr == ""
        for text in ("Pareto front of latency_ps", "best tcdm_bytes", "variance", "all the same"):
            assert text in done.stdout

    def test_json_is_one_document(self, cli, studies) -> None:
        document = cli.json("sweep", str(studies.write()), "--audit", "0.2")
        assert document["points"] == 12
        assert document["audit"] == {"points": 3, "differences": []}
        assert set(document["best"]) == {"latency_ps", "tcdm_bytes"}
        assert 0 <= document["variance_share"]["latency_ps"]["adapters.rank"] <= 1

    @pytest.mark.parametrize("folder", [None, "out"])
    def test_ctrl_c_at_any_other_moment_says_a_sentence_too(
        self, cli, studies, monkeypatch, folder: str | None
    ) -> None:
        def pressed(*_: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr("hybridsim.cli.sweep.inputs_of", pressed)
        out = () if folder is None else ("--out", str(studies.folder / folder))
        done = cli("sweep", str(studies.write()), *out)
        assert (done.exit_code, done.stdout) == (130, "")
        kept = "" if folder is None else f"; what was recorded is kept in {out[1]}"
        assert done.stderr == f"hybridsim: interrupted{kept}\n"

    def test_csv_is_the_whole_table(self, cli, studies) -> None:
        done = cli("sweep", str(studies.write()), "--csv")
        assert done.stdout.count("\n") == 13

    def test_a_folder_holds_table_and_answer(self, cli, studies, tmp_path: Path) -> None:
        out = tmp_path / "out"
        cli("sweep", str(studies.write()), "--out", str(out), "--quiet")
        assert len(pd.read_parquet(out / "sweep.parquet")) == 12
        assert json.loads((out / "sweep.json").read_text())["points"] == 12

    def test_a_dry_run_computes_a_sample_and_leaves_nothing(
        self, cli, studies, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        document = cli.json("sweep", str(studies.write()), "--dry-run", "--out", str(out))
        assert document["points"] == 12
        assert document["seconds"] > 0
        assert document["result_bytes"] > 0
        assert not out.exists()

    def test_a_difference_on_simpy_is_an_error(self, cli, studies, monkeypatch) -> None:
        audit = Audit(1, ("a point differs",))
        monkeypatch.setattr(run_module, "audited", lambda *_: audit)
        done = cli("sweep", str(studies.write()), "--audit", "1%")
        assert done.exit_code == 1
        assert "a point differs" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("--audit", "some"), "a share would do"),
            (("--audit", "200%"), "a share of 0 to 100 %"),
            (("--json", "--csv"), "give one of them"),
            (("--executor", "gpu"), "or slurm:N would do"),
            (("--out", "/proc/x"), "; a folder that can be made would do"),
            (("--out", os.devnull), "is a file"),
        ],
    )
    def test_bad_options_are_refused(self, cli, studies, arguments, says: str) -> None:
        assert says in cli.refused("sweep", str(studies.write()), *arguments)

    def test_a_folder_keeps_to_one_study_which_may_grow(self, cli, studies, tmp_path) -> None:
        folder = tmp_path / "out"

        def swept(**changes: Any) -> Any:
            return cli("sweep", str(studies.write(**changes)), "--out", str(folder), "--quiet")

        assert swept(name="one", axes={"tokens": [4]}).exit_code == 0
        before = (folder / "study.json").read_bytes()
        done = swept(name="other", axes={"tokens": [4]})
        assert done.exit_code == 2
        assert "holds the study 'one', whose page and tables 'other' would repl" in done.stderr
        assert (folder / "study.json").read_bytes() == before
        assert swept(name="one", axes={"tokens": [4, 8]}).exit_code == 0

    def test_what_a_study_names_and_is_not_there_is_told_with_its_key(self, cli, studies) -> None:
        file = studies.write(network="nix.yaml")
        said = cli.refused("sweep", str(file))
        assert f"{file}: network: " in said
        assert "nix.yaml" in said

    def test_a_comparison_without_a_value_is_none(self, cli, studies) -> None:
        file = studies.write(constraints=["overhead_percent <= "])
        said = cli.refused("sweep", str(file))
        assert "found 'overhead_percent <= '; write a comparison" in said

    def test_names_are_refused_in_words(self, cli, studies) -> None:
        for name in ("a\nb", "x" * 5000):
            said = cli.refused("sweep", str(studies.write(name=name)))
            assert "; a name of at most 60 letters, digits and _ . - would do" in said

    def test_a_study_that_is_not_there_is_refused(self, cli, tmp_path: Path) -> None:
        assert "does not exist" in cli.refused("sweep", str(tmp_path / "none.yaml"))
