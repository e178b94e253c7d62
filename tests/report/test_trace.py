import gzip
import json
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from hybridsim import load
from hybridsim.errors import SpecError
from hybridsim.measure.occupancy import tcdm_occupancy
from hybridsim.report import trace
from hybridsim.report.trace import write_trace
from hybridsim.report.trace_events import stamps
from hybridsim.simulation import Run, execute
from hybridsim.strategies import make_strategy
from tests.report import trace_format

RUNS = [
    ("layer_512x128", "ahwa_lora_2026", "token_parallel", {}),
    ("layer_128x128", "ahwa_lora_2026", "separate_add", {"unit": "both"}),
    ("minilm_l6", "ahwa_lora_2026", "cross_layer", {}),
    ("minilm_l6", "ahwa_lora_2026", "all_analog", {}),
    # clusters from a pool, several links, waits of every kind
    ("minilm_l6", "harp_2026", "xb_pipe", {"batch": 16, "dispatch": "online"}),
    ("minilm_l6", "harp_2026", "xl_pipe", {"batch": 32}),
]


def run_of(network: str, machine: str, strategy: str, options: dict[str, object]) -> Run:
    return execute(*load(network, machine), make_strategy(strategy, options), 64)


@pytest.fixture(params=RUNS, ids=lambda r: f"{r[0]}-{r[2]}", scope="module")
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(*request.param)


def read(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    return json.loads(data, parse_float=Decimal)


def test_a_trace_is_what_the_format_asks_for(run: Run, tmp_path: Path) -> None:
    events = write_trace(run, tmp_path / "trace.json.gz")
    document = read(tmp_path / "trace.json.gz")
    trace_format.check(document)
    assert len(document["traceEvents"]) == events
    assert document["otherData"]["latency_ps"] == str(run.result.latency_ps)


def test_busy_time_in_the_trace_is_that_of_the_metrics(run: Run, tmp_path: Path) -> None:
    write_trace(run, tmp_path / "trace.json")
    events = read(tmp_path / "trace.json")["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    busy: dict[str, int] = {}
    for thread, own in trace_format.slices(events).items():
        resource = names[thread].split(" [")[0]
        busy[resource] = busy.get(resource, 0) + sum(trace_format.ps(e["dur"]) for e in own)
    table = run.result.resources_frame().set_index("name")["busy_ps"]
    for resource, measured in table.items():
        assert busy.pop(resource, 0) == measured
    assert set(busy) <= {"delay"}


def test_counters_are_the_tables(run: Run, tmp_path: Path) -> None:
    write_trace(run, tmp_path / "trace.json")
    events = read(tmp_path / "trace.json")["traceEvents"]
    told = [
        (e["name"].removeprefix("TCDM "), trace_format.ps(e["ts"]), e["args"]["bytes"])
        for e in events
        if e["ph"] == "C" and e["name"].startswith("TCDM ")
    ]
    table = tcdm_occupancy(run)
    assert sorted(told) == sorted(table.itertuples(index=False, name=None))
    waiting = [e for e in events if e["ph"] == "C" and e["name"].startswith("queue ")]
    assert all(set(event["args"]) == {"waiting"} for event in waiting)


def test_arguments_say_what_a_task_did(tmp_path: Path) -> None:
    run = run_of("layer_512x128", "ahwa_lora_2026", "token_parallel", {"batch": 32})
    write_trace(run, tmp_path / "trace.json")
    events = [e for e in read(tmp_path / "trace.json")["traceEvents"] if e["ph"] == "X"]
    load_x = next(e["args"] for e in events if e["name"] == "load x" and e["args"]["batch"] == 1)
    assert load_x["op"] == "linear"
    assert load_x["shape"] == "512x128"
    assert load_x["tokens"] == 32
    assert load_x["bytes"] == 32 * 512 * 2
    assert load_x["cycles"] * 2000 == load_x["dur_ps"]
    assert load_x["waited_ps"] == load_x["start_ps"]
    assert load_x["started"] == "cluster0.dma was given back by linear: zero u [0]"
    xa = next(e["args"] for e in events if e["name"] == "xa" and e["args"]["batch"] == 0)
    assert xa["started"] == "has the data of linear: mvm [0]"
    assert "bytes" not in xa


def test_flows_are_the_data_dependencies(tmp_path: Path) -> None:
    run = run_of("layer_512x128", "ahwa_lora_2026", "token_parallel", {"batch": 8})
    plan = run.schedule.plan
    counts = {}
    for flows in trace.FLOWS:
        write_trace(run, tmp_path / "trace.json", flows)
        document = read(tmp_path / "trace.json")
        trace_format.check(document)
        counts[flows] = sum(event["ph"] == "s" for event in document["traceEvents"])
    assert plan.room.any()
    assert counts["all"] == counts["auto"] == (~plan.room).sum()
    fed = np.repeat(np.arange(len(plan)), np.diff(plan.need_first))[~plan.room]
    assert counts["last"] == len(np.unique(fed))
    assert counts["none"] == 0


def test_many_dependencies_are_thinned_out_to_the_last_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of("layer_512x128", "ahwa_lora_2026", "token_parallel", {"batch": 8})
    write_trace(run, tmp_path / "last.json", "last")
    monkeypatch.setattr(trace, "MOST_FLOWS", 5)
    write_trace(run, tmp_path / "auto.json")
    assert (tmp_path / "auto.json").read_bytes() == (tmp_path / "last.json").read_bytes()


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_equal_runs_give_equal_bytes(tmp_path: Path, name: str) -> None:
    written = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        run = run_of("layer_128x128", "ahwa_lora_2026", "token_parallel", {})
        write_trace(run, tmp_path / folder / name)
        os.utime(tmp_path / folder / name, (0, 0))
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("time", [0, 1, 999, 1000, 1001_000, 8_192_000, 2**40 + 1, 10**15 + 1000])
def test_a_stamp_is_exact_and_whole_in_perfetto(time: int) -> None:
    (text,) = stamps(np.array([time], np.int64))
    assert trace_format.ps(Decimal(text)) == time
    assert trace_format.as_perfetto(Decimal(text)) == time // 1000


def test_even_nanoseconds_survive_perfetto_everywhere() -> None:
    """One in a hundred would lose a nanosecond as a plain decimal, and overlap what follows."""
    times = np.arange(0, 400_000_000, 2_000, dtype=np.int64)
    texts = stamps(times)
    assert [trace_format.as_perfetto(Decimal(text)) for text in texts] == (times // 1000).tolist()
    assert sum(text.endswith("1") and len(text.partition(".")[2]) == 7 for text in texts) > 100


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    name = 'a"b\\c</script>\u2028\x07{}é\n' + "x" * 5000
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    run = execute(network, machine.model_copy(update={"name": name}), tokens=8)
    write_trace(run, tmp_path / "trace.json")
    document = read(tmp_path / "trace.json")
    trace_format.check(document)
    assert document["otherData"]["machine"] == name.replace("\x07", " ").replace("\n", " ")


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of("layer_128x128", "ahwa_lora_2026", "token_parallel", {})
    (tmp_path / "trace.json").write_text("mine")
    monkeypatch.setattr(trace.Trace, "texts", lambda self: iter([["{}"], 1 / 0]))
    with pytest.raises(ZeroDivisionError):
        write_trace(run, tmp_path / "trace.json")
    assert os.listdir(tmp_path) == ["trace.json"]
    assert (tmp_path / "trace.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["trace.txt", "trace", "no/such/trace.json"])
def test_a_place_for_no_trace_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="--trace"):
        trace.check_trace_path(tmp_path / name)
