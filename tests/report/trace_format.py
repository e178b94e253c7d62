"""What the Chrome trace event format asks of each event, and what Perfetto makes of a trace."""

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

NUMBER = (int, Decimal)
REQUIRED = {
    "M": {"name": str, "pid": int, "args": dict},
    "X": {"name": str, "cat": str, "ts": NUMBER, "dur": NUMBER, "pid": int, "tid": int,
          "args": dict},
    "C": {"name": str, "ts": NUMBER, "pid": int, "args": dict},
    "s": {"name": str, "cat": str, "id": int, "ts": NUMBER, "pid": int, "tid": int},
    "f": {"name": str, "cat": str, "id": int, "ts": NUMBER, "pid": int, "tid": int, "bp": str},
}  # fmt: skip
METADATA = {
    "process_name": "name",
    "process_sort_index": "sort_index",
    "thread_name": "name",
    "thread_sort_index": "sort_index",
}
Event = dict[str, Any]


def check(document: dict[str, Any]) -> None:
    """Fail where a trace is not what the format, or Perfetto's reader, asks for."""
    events = document["traceEvents"]
    for event in events:
        check_fields(event)
    check_names(events)
    check_order(events)
    check_threads(events)
    check_flows(events)


def check_fields(event: Event) -> None:
    for field, kind in REQUIRED[event["ph"]].items():
        assert isinstance(event[field], kind), (field, event)
        assert not isinstance(event[field], bool)
    assert set(event) <= {"ph", "tid", "ts", *REQUIRED[event["ph"]]}
    assert event.get("ts", 0) >= 0
    assert event.get("dur", 1) > 0
    if event["ph"] == "C":
        assert event["args"]
        assert all(isinstance(value, NUMBER) and value >= 0 for value in event["args"].values())
    if event["ph"] == "M":
        assert set(event["args"]) == {METADATA[event["name"]]}


def check_names(events: list[Event]) -> None:
    """Every process and thread in use has one name and one place; no number serves twice."""
    named = defaultdict(list)
    for event in events:
        if event["ph"] == "M":
            named[event["name"], event["pid"], event.get("tid")].append(event["args"])
    assert all(len(args) == 1 for args in named.values())
    threads = {(e["pid"], e["tid"]) for e in events if "tid" in e}
    for pid, tid in threads:
        assert ("thread_name", pid, tid) in named
        assert ("thread_sort_index", pid, tid) in named
    for pid in {event["pid"] for event in events}:
        assert ("process_name", pid, None) in named
    assert len({tid for _, tid in threads}) == len(threads)
    assert not {tid for _, tid in threads} & {pid for pid, _ in threads}


def check_order(events: list[Event]) -> None:
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    assert [e["ph"] == "M" for e in events] == sorted(e["ph"] == "M" for e in events)[::-1]


def as_perfetto(stamp: int | Decimal) -> int:
    """Whole nanoseconds, as Perfetto's reader makes them of a JSON number."""
    return int(float(stamp) * 1000)


def slices(events: list[Event]) -> dict[int, list[Event]]:
    threads = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["tid"]].append(event)
    return threads


def check_threads(events: list[Event]) -> None:
    """No slice begins before the one before it on its thread has ended, in ps and in Perfetto."""
    for own in slices(events).values():
        for first, second in pairwise(own):
            ends = ps(first["ts"]) + ps(first["dur"])
            assert ends <= ps(second["ts"])
            assert as_perfetto(first["ts"]) + as_perfetto(first["dur"]) <= as_perfetto(
                second["ts"]
            )
        for event in own:
            assert as_perfetto(event["ts"]) == ps(event["ts"]) // 1000


def ps(stamp: int | Decimal) -> int:
    """The picoseconds that a stamp stands for: it is exact, or has 0.1 ps more."""
    exact = Decimal(stamp) * 10**6
    assert exact - int(exact) in (0, Decimal("0.1"))
    return int(exact)


def check_flows(events: list[Event]) -> None:
    """Each flow begins once and ends once, later, and both ends lie in a slice of their thread."""
    begins, ends = ({e["id"]: e for e in events if e["ph"] == phase} for phase in "sf")
    assert len(begins) == sum(e["ph"] == "s" for e in events)
    assert len(ends) == sum(e["ph"] == "f" for e in events)
    assert begins.keys() == ends.keys()
    at = {(e["tid"], e["ts"]): e for e in events if e["ph"] == "X"}
    for number, begin in begins.items():
        end = ends[number]
        assert end["bp"] == "e"
        source, target = at[begin["tid"], begin["ts"]], at[end["tid"], end["ts"]]
        assert ps(source["ts"]) + ps(source["dur"]) <= ps(target["ts"])
