"""Changes one small thing of a module at a time, and looks whether a test notices.

    python -m tests.mutants plan --count 60 [--seed 0] [--out mutants.jsonl]

First every test of a room runs once, to see which lines it reaches and how long it takes. Each
mutant then meets the tests that reach its line, those of its own room first, until one fails.
Needs the package coverage. A mutant runs in a fork, so that nothing it did is left.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mutants.meeting import PYTEST, meet, meet_here
from tests.mutants.mutation import Mutant
from tests.mutants.rooms import HERE, LAWS, ROOMS, all_mutants
from tests.mutants.survey import chosen, cpu, fewer, survey

MOST_EXAMPLES = 40
"""How many examples Hypothesis tries where a test does not say it."""


def preload() -> None:
    """Import what others wrote, once for all forks."""
    import hypothesis  # noqa: F401
    import matplotlib  # noqa: F401
    import numba  # noqa: F401
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import rich.console  # noqa: F401
    import simpy  # noqa: F401
    import typer.testing  # noqa: F401
    import yaml  # noqa: F401

    assert not any(name.partition(".")[0] == "hybridsim" for name in sys.modules)


def register_profile() -> None:
    """Let Hypothesis try the same examples each time, and no smaller ones after a failure."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile(
        "mutants", deadline=None, derandomize=True, phases=phases, max_examples=MOST_EXAMPLES
    )


def meet_more(path: Path, session: Any) -> None:
    """Let those that survived so far meet all cases of a session, and write it down."""
    rows = _records(path)
    tests = [item.nodeid for item in session.items]
    for row in rows:
        if row["outcome"] == "caught":
            continue
        mutant = Mutant(row["line"], row["number"], row["what"])
        found = meet_here(session, row["file"], mutant, tests, 60.0)
        row |= found or meet(row["file"], mutant, tests, 60.0)
        _tell(row)
        path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")


def main() -> None:
    """Survey a room, and let a sample of its mutants meet its tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("mutants.jsonl"))
    parser.add_argument(
        "--survey", type=Path, default=Path(tempfile.gettempdir()),
        help="folder of which lines tests reach, found out once",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=1e9, help="CPU time; go on later")
    parser.add_argument(
        "--survey-seconds", type=float, default=1e9, help="CPU time, own tests first"
    )
    parser.add_argument("--only", default="", help="FILE:NUMBER, one mutant alone")
    parser.add_argument("--more", nargs="+", help="tests that survivors of --out meet, all cases")
    given = parser.parse_args()
    given.survey.mkdir(parents=True, exist_ok=True)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp()
    os.chdir(HERE)
    preload()
    register_profile()

    class Loop:
        def pytest_runtestloop(self, session: Any) -> bool:
            if not given.more:
                session.items = fewer(session.items)
            with _standard_output(session):
                if given.more:
                    meet_more(given.out, session)
                else:
                    go_through(given, session)
            return True

    import pytest

    tests = [*ROOMS[given.room][1], *LAWS]
    tests = given.more or tests
    # a child imports what is to be changed; what is changed anew is imported here
    apart = os.fork()
    if not apart:
        os._exit(int(pytest.main([*PYTEST, *tests], plugins=[Loop()])))
    os.waitpid(apart, 0)
    if not given.more:
        go_through(given, None)


@contextmanager
def _standard_output(session: Any) -> Iterator[None]:
    with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        yield


def go_through(given: argparse.Namespace, session: Any) -> None:
    """Let mutants meet tests: those of functions in a session, the others without one."""
    path = given.survey / f"reached_{given.room}.json"
    known: dict[str, Any] = {"seconds": {}, "lines": {}}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    elif session is not None:
        survey(session, given.room, path, known, given.survey_seconds)
        known = json.loads(path.read_text(encoding="utf-8"))
    if session is not None:
        left = sum(item.nodeid not in known["seconds"] for item in session.items)
        print(f"{given.room}: {left} tests are not surveyed, and meet no mutant", flush=True)
    sample = all_mutants(given.room)
    print(f"{given.room}: {len(sample)} mutants in all", flush=True)
    if given.only:
        file, _, number = given.only.partition(":")
        sample = [(f, m) for f, m in sample if f == file and m.number == int(number)]
    else:
        random.Random(given.seed).shuffle(sample)
    here = {item.nodeid for item in session.items} if session is not None else ()
    done = {(r["file"], r["number"]) for r in _records(given.out)}
    for file, mutant in sample[: given.count]:
        if (file, mutant.number) in done or cpu() > given.seconds:
            continue
        found: dict[str, Any] | None
        found, met = {"outcome": "no test", "by": "", "tests": 0, "seconds": 0.0}, set[str]()
        for turn in (0, 1):
            tests, seconds = chosen(known, here, given.room, file, mutant.line, turn)
            tests = [test for test in tests if test not in met]
            met |= {*tests}
            if not tests:
                break
            if session is not None:
                found = meet_here(session, file, mutant, tests, seconds)
            else:
                found = meet(file, mutant, tests, seconds)
            if found is None or found["outcome"] != "survived":
                break
        if found is None:
            continue
        found["tests"] = len(met)
        row = {"room": given.room, "file": file, "line": mutant.line, "number": mutant.number}
        row |= {"what": mutant.what, **found}
        with given.out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        _tell(row)


def _tell(row: dict[str, Any]) -> None:
    told = f"{row['file']}:{row['line']} {row['what']}: {row['outcome']} {row['by'][:90]}"
    print(f"{told} ({row['seconds']} s)", flush=True)


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
