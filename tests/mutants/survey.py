"""Which lines each test reaches, and how long it takes: found out once, and kept."""

import json
import os
import resource
import signal
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.mutants.interpreting import functions_below, lines_of, on_call
from tests.mutants.rooms import HERE, ROOMS, files_of

MOST_CASES = 3
"""How many cases of one test are taken, evenly; of ``tests/digest`` :data:`MOST_DIGESTS`."""
MOST_DIGESTS = 100
MOST_SECONDS = (4.0, 20.0)
"""How long the tests that a mutant meets take together without it, at most: first, and if it
survives those [CPU s]."""
LONGEST = (2.0, 4.0)
"""Tests that take longer than this meet no mutant, likewise [CPU s]."""


def cpu() -> float:
    """Return the CPU time of this process and those it waited for [s]."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in own)


class Reached:
    """A plugin that notes which lines each test reaches, and how long it takes.

    Of machine code no line is seen: a test that calls a function reaches all of its lines, and
    those of what it leads to.
    """

    def __init__(self, files: list[Path]) -> None:
        import coverage

        self.files = files
        self.coverage = coverage.Coverage(
            data_file=None, include=[str(file) for file in files], config_file=False
        )
        self.seconds: dict[str, float] = {}
        self.failing: set[str] = set()
        self.called: dict[str, dict[int, Any]] = {}
        self.now = ""
        on_call(lambda own: self.called.setdefault(self.now, {}).setdefault(id(own), own))
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.coverage.switch_context(nodeid)
        self.now = nodeid
        self.begun = cpu()
        signal.signal(signal.SIGVTALRM, _too_long)
        signal.setitimer(signal.ITIMER_VIRTUAL, 3 * LONGEST[1])  # lines are counted meanwhile

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        self.seconds[nodeid] = cpu() - self.begun

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failing.add(report.nodeid)

    def lines(self) -> dict[str, dict[str, list[int]]]:
        """Return test -> file -> lines."""
        self.coverage.stop()
        found: dict[str, dict[str, list[int]]] = {}
        inside = {str(file.relative_to(HERE)) for file in self.files}
        for test in self.called.keys() - self.failing - {""}:
            codes = {code for own in self.called[test].values() for code in functions_below(own)}
            for code in codes:
                name = os.path.relpath(code.co_filename, HERE)
                if name in inside:
                    found.setdefault(test, {}).setdefault(name, []).extend(lines_of(code))
        data = self.coverage.get_data()
        for file in data.measured_files():
            for line, tests in data.contexts_by_lineno(file).items():
                for test in set(tests) - self.failing - {""}:  # no test fails without a mutant
                    name = str(Path(file).relative_to(HERE))
                    found.setdefault(test, {}).setdefault(name, []).append(line)
        return found


def _too_long(*_: object) -> None:
    raise TimeoutError("too long for a mutant")


def forked(what: Any) -> tuple[int, float]:
    """Call something in a fork; return its exit status and CPU time [s]."""
    before = cpu()
    child = os.fork()
    if not child:
        nothing = os.open(os.devnull, os.O_WRONLY)
        if not os.environ.get("MUTANTS_SHOW"):
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        code = 70
        try:
            code = int(what())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return status, cpu() - before


def fewer(items: list[Any]) -> list[Any]:
    """Return a few cases of each test."""
    cases: dict[str, list[Any]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return [
        item
        for name, own in cases.items()
        for item in own[:: -(-len(own) // (MOST_DIGESTS if "digest" in name else MOST_CASES))]
    ]


def survey(session: Any, room: str, path: Path, known: dict[str, Any], most: float) -> None:
    """Run tests of a room once that are not known yet, and write down what they reach."""

    def run() -> int:
        reached = Reached(files_of(room))
        session.config.pluginmanager.register(reached)
        for item in session.items:
            if item.nodeid not in known["seconds"] and cpu() < most:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        document = {
            "seconds": known["seconds"] | reached.seconds,
            "lines": known["lines"] | reached.lines(),
        }
        path.write_text(json.dumps(document), encoding="utf-8")
        return 0

    status, seconds = forked(run)
    print(f"{room}: surveyed in {seconds:.0f} CPU s, status {status}", flush=True)


def chosen(
    known: dict[str, Any], here: Collection[str], room: str, file: str, line: int, turn: int = 0
) -> tuple[list[str], float]:
    """Return the tests that reach a line, the own and the quick ones first, and what they take.

    ``turn`` is 1 for those that a mutant meets which survived those of turn 0.
    """
    own = tuple(ROOMS[room][1])
    near = [test for test, files in known["lines"].items() if line in files.get(file, ())]
    if not near:  # a line that runs when it is imported
        near = [test for test, files in known["lines"].items() if file in files]
    near = [t for t in near if known["seconds"][t] <= LONGEST[turn] and (not here or t in here)]
    near.sort(key=lambda test: (not test.startswith(own), known["seconds"][test]))
    taken, seconds = [], 0.0
    for test in near:
        if seconds + known["seconds"][test] <= MOST_SECONDS[turn]:
            taken.append(test)
            seconds += known["seconds"][test]
    return taken, seconds
