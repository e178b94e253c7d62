"""What pages show, before it is drawn."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import InputError, SpecError
from hybridsim.measure.critical_path import critical_path
from hybridsim.measure.stalls import stalls_by_resource
from hybridsim.plan import Plan, Timeline
from hybridsim.report.page import gantt as gantt_module
from hybridsim.report.page.chart_data import activity, merged, roofline, waterfall
from hybridsim.report.page.gantt import RESOURCE, ROOM, START, TURN, gantt, waits_of
from hybridsim.report.page.recording import read_recording, record
from hybridsim.report.page.run_page import page_files, page_of_folder, render_run, run_page
from hybridsim.report.page.tables import stall_shares
from hybridsim.simulation import Run, execute, load
from hybridsim.strategies import make_strategy

CASES = (
    ("layer_512x128", "ahwa_lora_2026", "token_parallel"),
    ("distilbert", "ahwa_lora_2026", "layer_serial"),
    ("distilbert", "harp_2026:bert_base", "xb_pipe"),
)


@pytest.fixture(scope="module", params=CASES, ids=[" ".join(case) for case in CASES])
def run(request: pytest.FixtureRequest) -> Run:
    network, machine, strategy = request.param
    return execute(*load(network, machine), make_strategy(strategy, {}), tokens=32)


def test_a_recording_reads_back_and_is_the_same_bytes(run: Run, tmp_path: Path) -> None:
    recording = record(run, {"tile.rows": "somewhere"})
    path = tmp_path / "timeline.npz"
    path.write_bytes(recording.to_bytes())
    again = read_recording(path)
    # of the works, labels alone are kept: a page asks for no prices
    for name in (*(Plan.__dataclass_fields__.keys() - {"works", "work"}), "labels", "label"):
        old, new = getattr(recording.plan, name), getattr(again.plan, name)
        assert np.array_equal(old, new) if isinstance(old, np.ndarray) else old == new
    for name in Timeline.__dataclass_fields__:
        assert np.array_equal(getattr(run.timeline, name), getattr(again.timeline, name))
    assert again.sources == {"tile.rows": "somewhere"}
    assert again.to_bytes() == recording.to_bytes()


def test_the_page_is_rebuilt_from_its_folder_byte_for_byte(tmp_path: Path) -> None:
    run = execute(*load("layer_128x128", "ahwa_lora_2026"))
    files = page_files(run, {"tile.rows": "somewhere"})
    (tmp_path / "timeline.npz").write_bytes(files["timeline.npz"])  # type: ignore[arg-type]
    (tmp_path / "result.json").write_text(run.result.to_json())
    assert page_of_folder(tmp_path) == files["page.html"]


def test_the_waterfall_leads_from_all_analog_to_hybrid(run: Run) -> None:
    path = critical_path(run.schedule.plan, run.timeline)
    table = waterfall(run.result, path)
    steps = table[table["kind"] != "total"]
    assert table["to_ps"].iloc[0] == run.result.yardstick_ps
    assert table["to_ps"].iloc[-1] == run.result.latency_ps
    level = run.result.yardstick_ps
    for begin, end in zip(steps["from_ps"], steps["to_ps"], strict=True):
        assert begin == level
        level = end
    assert level == run.result.latency_ps


def test_what_a_gantt_holds_is_the_timeline(run: Run) -> None:
    plan, timeline = run.schedule.plan, run.timeline
    data = gantt(plan, timeline).data
    start = np.cumsum(data["step"])
    assert sorted(start.tolist()) == sorted(timeline.start.tolist())
    assert (start + data["duration"]).max() == timeline.makespan
    assert len(data["critical"]) == len(critical_path(plan, timeline))
    names = [
        f"{data['ops'][o]}: {data['actions'][a]} [{i}]"
        for o, a, i in zip(data["op"], data["action"], data["item"], strict=True)
    ]
    by_start = np.argsort(timeline.start, kind="stable").tolist()
    assert names == [plan.name(task) for task in by_start]
    assert min(data["room"]) >= 0
    assert min(data["taken"]) >= 0


def test_a_window_holds_all_tasks_that_run_in_it(run: Run) -> None:
    plan, timeline = run.schedule.plan, run.timeline
    begin, end = timeline.makespan // 3, timeline.makespan // 2
    found = gantt(plan, timeline, (begin, end))
    assert found.tasks == sum(
        s < end and e > begin for s, e in zip(timeline.start, timeline.end, strict=True)
    )
    for wrong in ((end, begin), (timeline.makespan, timeline.makespan + 5), (-1, 5)):
        with pytest.raises(InputError, match="--window"):
            gantt(plan, timeline, wrong)


def test_a_plan_too_large_for_a_page_is_shown_in_part(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gantt_module, "MOST_TASKS", 5)
    plan, timeline = run.schedule.plan, run.timeline
    found = gantt(plan, timeline)
    assert 4 <= found.tasks < found.of
    inside = (timeline.start < found.window[1]) & (timeline.end > found.window[0])
    assert found.tasks == inside.sum()
    assert not found.whole
    assert found.window[0] <= found.shown[0] < found.shown[1] <= found.window[1]
    with pytest.raises(InputError, match="give a shorter stretch"):
        gantt(plan, timeline, (0, timeline.makespan))


def test_every_task_says_why_it_started(run: Run) -> None:
    """By the definition, task by task: what ended at the instant of its start."""
    plan, timeline = run.schedule.plan, run.timeline
    waits = waits_of(plan, timeline)
    order = np.zeros(len(plan.need), bool) if plan.order is None else plan.order
    for task in range(min(len(plan), 400)):
        why = waits.why[task]
        first, last = plan.need_first[task], plan.need_first[task + 1]
        needs = list(zip(plan.need[first:last], plan.room[first:last], order[first:last]))  # noqa: B905
        data = max(
            (timeline.end[n] for n, room, turn in needs if not room and not turn), default=0
        )
        assert waits.data[task] == data
        if timeline.start[task] == 0:
            assert why == START
        elif timeline.start[task] > timeline.ready[task]:
            assert why == TURN or why >= RESOURCE
            if why >= RESOURCE:
                assert why - RESOURCE in plan.uses_of(task)
        elif why in (ROOM, TURN):
            assert data < timeline.ready[task]
        if why not in (START, TURN) and waits.cause[task] >= 0:
            assert timeline.end[waits.cause[task]] == timeline.start[task]


def test_stall_shares_of_a_part_add_up_to_one(run: Run) -> None:
    shares = stall_shares(stalls_by_resource(run.schedule.plan, run.timeline))
    assert shares.groupby("part")["share"].sum().to_numpy() == pytest.approx(1)
    assert (shares["share"] >= 0).all()


def test_activity_is_the_time_that_any_part_works(run: Run) -> None:
    plan, timeline = run.schedule.plan, run.timeline
    table = activity(plan, timeline, timeline.makespan, bins=50)
    for kind in {resource.kind for resource in plan.resources}:
        own = [r for r, resource in enumerate(plan.resources) if resource.kind == kind]
        tasks = [t for t in range(len(plan)) if set(plan.uses_of(t).tolist()) & set(own)]
        start, end = merged(timeline.start[tasks], timeline.end[tasks])
        rows = table[table["part"] == kind]
        told = ((rows["end_ps"] - rows["start_ps"]) * rows["busy"]).sum()
        assert told == pytest.approx((end - start).sum(), abs=timeline.makespan * 1e-3)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=12))
def test_merged_stretches_cover_the_same_instants(stretches: list[tuple[int, int]]) -> None:
    start = np.array([begin for begin, _ in stretches], np.int64)
    end = start + np.array([length for _, length in stretches], np.int64)
    first, last = merged(start, end)
    covered = {t for a, b in zip(start, end, strict=True) for t in range(a, b)}
    assert {t for a, b in zip(first, last, strict=True) for t in range(a, b)} == covered
    assert (first[1:] > last[:-1]).all()


def test_no_kernel_is_above_the_roofs(run: Run) -> None:
    found = roofline(run.job.machine, run.schedule.plan, run.timeline, run.result)
    assert found is not None
    both = found.roofs["operations_per_s"].sum()
    assert (found.kernels["operations_per_s"] <= both * 1.0001).all()
    assert found.kernels["layers"].sum() == sum(layer.rank > 0 for layer in run.result.layers)


def test_a_result_without_machine_or_sources_has_a_page() -> None:
    run = execute(*load("layer_128x128", "ahwa_lora_2026"))
    bare = run.result.model_copy(update={"inputs": {}})
    page = render_run(run_page(bare, record(run, {})))
    assert "layer_128x128" in page


def test_a_notebook_shows_names_as_text(run: Run) -> None:
    hostile = run.result.model_copy(update={"network": "<script>alert(1)</script>"})
    shown = hostile._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert re.search(r"<tr><th scope=\"row\"", shown)
    assert len(run.result._repr_html_()) < 10_000


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "timeline.npz").unlink(),
        lambda folder: (folder / "timeline.npz").write_bytes(b"no archive"),
        lambda folder: (folder / "timeline.npz").write_bytes(
            (folder / "timeline.npz").read_bytes()[:400]
        ),
        lambda folder: (folder / "result.json").write_text("{}"),
        lambda folder: (folder / "result.json").write_text(
            (folder / "result.json").read_text().replace('"tasks": ', '"tasks": 1')
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(tmp_path: Path, harm: object) -> None:
    run = execute(*load("layer_128x128", "ahwa_lora_2026"))
    (tmp_path / "timeline.npz").write_bytes(record(run, {}).to_bytes())
    (tmp_path / "result.json").write_text(run.result.to_json())
    harm(tmp_path)  # type: ignore[operator]
    with pytest.raises(SpecError) as error:
        page_of_folder(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_page_holds_no_address_that_is_fetched() -> None:
    run = execute(*load("layer_128x128", "ahwa_lora_2026"))
    page = render_run(run_page(run.result, record(run, {})))
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["'](?!#)""", outside)
    assert "default-src 'none'" in page


@pytest.mark.slow
def test_the_library_is_what_its_package_gives() -> None:
    root = Path(__file__).parents[2]
    code = "import generate_page_library as g; assert g.FILE.read_text('utf-8') == g.library()"
    subprocess.run([sys.executable, "-c", code], cwd=root / "docs", check=True)
