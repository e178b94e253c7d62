"""Digests of plans, timelines, results and tables: equal before and after a change of the code.

Each case has a short hash per part of what it gives, so that a difference says where it is:
``needs`` and ``uses`` differ where the structure does, ``durations`` where prices do, and so on.
Floats are hashed to 12 significant digits, integers and texts as they are.

    python -m tests.digest.digest                 compare with the golden values
    python -m tests.digest.digest --write         make them the golden values
    python -m tests.digest.digest --show NAME     print what is hashed, to be compared by diff
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.digest import access
from tests.digest.case import Case
from tests.digest.cases import CASES

GOLDEN = Path(__file__).with_name("golden.json")
Parts = dict[str, str | int]
"""Part of a case -> its hash, or a number that is readable as it is."""


# ---- canonical values


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: names and sentences canonical, floats to 12 digits."""
    if isinstance(value, Mapping):
        found = {access.canonical_name(str(key)): plain(each) for key, each in value.items()}
        if len(found) != len(value):
            raise ValueError(f"two fields have one canonical name: {sorted(map(str, value))}")
        return dict(sorted(found.items()))
    if isinstance(value, str):
        return access.canonical_text(value)
    if value is None or isinstance(value, (bool, np.bool_)):
        return value if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.12g}"
    if isinstance(value, np.ndarray):
        return [plain(each) for each in value.tolist()]
    if isinstance(value, pd.DataFrame):
        return {str(name): plain(value[name].tolist()) for name in value.columns}
    if isinstance(value, Iterable):
        return [plain(each) for each in value]
    return access.canonical_text(str(value))


def material(value: Any) -> bytes:
    """Return a canonical value as bytes: an array of integers as such, all else as JSON."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return np.ascontiguousarray(value, "<i8").tobytes()
    if isinstance(value, tuple):
        return b"|".join(hashlib.blake2b(material(each)).digest() for each in value)
    return json.dumps(plain(value), sort_keys=True).encode()


def short(value: Any) -> str:
    """Return a short hash of a canonical value."""
    return hashlib.blake2b(material(value), digest_size=4).hexdigest()


def named(given: access.Named) -> tuple[list[str], Any]:
    """Return the texts of tasks, whatever the order of their names: sorted names, and codes."""
    texts = [str(given.names[code]) for code in np.unique(given.codes)]
    order = sorted(set(texts))
    rank = np.zeros(len(given.names), np.int64)
    for code, text in zip(np.unique(given.codes), texts, strict=True):
        rank[code] = order.index(text)
    return order, rank[given.codes]


def _resources(run: Any) -> tuple[list[str], Any]:
    """Return the resources by name, and for each index its place among them."""
    texts = [json.dumps(each) for each in access.resources(run)]
    order = sorted(range(len(texts)), key=lambda index: (texts[index], index))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return [texts[index] for index in order], place


def _needs(run: Any) -> Any:
    """Return the needs as rows of task, source, room, turn: sorted, each once."""
    return np.unique(np.stack([*access.needs(run)], axis=1).astype(np.int64), axis=0)


# ---- what a case gives, part by part: values that are hashed, and numbers that are kept


def structure(run: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a plan says without times."""
    order, place = _resources(run)
    held = access.uses(run)
    yield "resources", order
    yield "uses", (held.task, place[held.resource])
    yield "needs", _needs(run)
    yield "ops", named(access.ops(run))
    yield "labels", named(access.labels(run))
    yield "items", access.items(run)


def timed(run: Any) -> Iterator[tuple[str, Any]]:
    """Yield times: what each task lasts, and when it is ready, starts and ends."""
    yield "durations", access.durations(run)
    ready, start, end = access.times(run)
    yield "ready", ready
    yield "start", start
    yield "end", end
    yield "latency_ps", int(end.max(initial=0))
    yield "tasks", len(end)


def split(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a document without its energies at any depth, and the energies by their path."""
    rest: dict[str, Any] = {}
    energies: dict[str, Any] = {}
    for key, value in document.items():
        if access.canonical_name(key) in access.ENERGY:
            energies[key] = value
        elif isinstance(value, Mapping):
            rest[key], inner = split(value)
            energies |= {f"{key}.{name}": each for name, each in inner.items()}
        else:
            rest[key] = value
    return rest, energies


def attojoules(document: Any) -> Any:
    """Return the parts of energies that are exact: integers of attojoules, MACs, names."""
    if isinstance(document, Mapping):
        kept = {key: attojoules(value) for key, value in document.items()}
        return {key: value for key, value in kept.items() if not isinstance(value, float)}
    if isinstance(document, (list, tuple)):
        return [attojoules(each) for each in document if not isinstance(each, float)]
    return document


def measured(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a result: times and shares, exact energies, and all figures of energies."""
    rest, energies = split(document)
    yield "result", rest
    yield "energy_aj", attojoules(energies)
    yield "energy_figures", energies


def femtowatts(power: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return powers to the femtowatt: less than that is what sums leave of their order."""
    return None if power is None else power.round(15) + 0.0


def energies_of(run: Any) -> Iterator[tuple[str, Any]]:
    """Yield what each task draws, part by part."""
    found = access.energy_of_tasks(run)
    yield "energy_of_tasks", tuple((name, found[name]) for name in sorted(found))
    yield "energy_totals", access.energy_totals(run)


def parts_of_run(case: Case) -> Iterator[tuple[str, Any]]:
    """Yield all parts of a simulated run."""
    run = access.executed(case)
    yield from structure(run)
    yield from timed(run)
    yield "decisions", access.decisions(run)
    yield from energies_of(run)
    document = access.result(run)
    if document is not None:
        yield from measured(document)
    if case.tables:
        yield from access.tables(run)
        yield "power", femtowatts(access.power_table(run))
        if document is not None:
            yield "frames", dict(access.frames(run))
            yield "trace", "\n".join(access.trace_texts(run))


def parts_of_tokens(case: Case) -> Iterator[tuple[str, Any]]:
    """Yield the parts of generated tokens whose templates are shared."""
    for past, run in zip(case.more["pasts"], access.tokens(case), strict=True):
        found = dict([*structure(run), *timed(run)])
        yield (
            f"structure_after_{past}",
            tuple(
                found[name] for name in ("resources", "uses", "needs", "ops", "labels", "items")
            ),
        )
        yield f"durations_after_{past}", found["durations"]
        yield f"timeline_after_{past}", tuple(found[name] for name in ("ready", "start", "end"))
        yield f"energy_after_{past}", access.token_energy(run)


def parts_of_sweep(case: Case) -> Iterator[tuple[str, Any]]:
    """Yield the table of a study by columns, and its summary."""
    table, summary = access.swept(case)
    for column in table.columns:
        yield f"column {access.canonical_name(column)}", table[column].tolist()
    yield "summary", summary


def parts_of(case: Case) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a case, whatever its kind, as names and values."""
    match case.kind:
        case "run":
            yield from parts_of_run(case)
        case "tokens":
            yield from parts_of_tokens(case)
        case "generate":
            yield from measured(access.generation(case))
        case "times":
            yield "times", access.generation_times(case)
        case "compare":
            for row in access.comparison(case):
                rest, energies = split(row)
                yield row.get("strategy", "best"), rest
                if energies:
                    yield f"energy of {row['strategy']}", energies
        case "explain":
            yield from access.explanation(case).items()
        case "sweep":
            yield from parts_of_sweep(case)
        case "ask":
            for question, answer in zip(case.more["questions"], access.answers(case), strict=True):
                yield " ".join(question[:2]), answer
        case "serve":
            yield from zip(("result", "requests"), access.served(case), strict=True)
        case "alternatives":
            yield from zip(("table", "facts"), access.alternatives(case), strict=True)
        case _:
            raise ValueError(f"no such kind of case: {case.kind}")


def digest(case: Case) -> Parts:
    """Return the parts of a case, hashed; a refusal is one part, its sentence."""
    found: Parts = {}
    try:
        for name, value in parts_of(case):
            if name in found:
                raise ValueError(f"{case.name}: part {name} is given twice")
            found[name] = value if isinstance(value, int) else short(value)
    except access.REFUSED as error:
        sentence = access.canonical_text(str(error))
        return {"refused": f"{type(error).__name__} {short(sentence)}"}
    return found


@cache
def golden() -> dict[str, Parts]:
    """Return the golden values of all cases."""
    found: dict[str, Parts] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


def differences(found: Parts, expected: Parts) -> list[str]:
    """Return the names of the parts that differ, with the numbers that are readable."""
    names = [*expected, *(name for name in found if name not in expected)]
    return [
        f"{name}: {expected.get(name, 'absent')} -> {found.get(name, 'absent')}"
        for name in names
        if found.get(name) != expected.get(name)
    ]


# ---- the command


def show(case: Case) -> None:
    """Print what is hashed of a case, a value a line, so that two versions can be compared."""
    try:
        for name, value in parts_of(case):
            _show(name, value)
    except access.REFUSED as error:
        print("refused", access.canonical_text(str(error)))


def _show(name: str, value: Any) -> None:
    if isinstance(value, tuple):
        for index, each in enumerate(value):
            _show(f"{name}.{index}", each)
    elif isinstance(value, np.ndarray):
        for index, each in enumerate(value.tolist()):
            print(name, index, each)
    else:
        print(name, json.dumps(plain(value), sort_keys=True, indent=1))


def main(arguments: list[str] | None = None) -> int:
    """Compare all cases with their golden values, or write these, or show one case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the golden values")
    parser.add_argument("--show", metavar="NAME", help="print what is hashed of a case")
    parser.add_argument("--times", action="store_true", help="print the CPU time of each case")
    parser.add_argument("names", nargs="*", help="cases whose names hold all of these words")
    given = parser.parse_args(arguments)
    if given.show:
        show(next(case for case in CASES if case.name == given.show))
        return 0
    chosen = [case for case in CASES if all(word in case.name for word in given.names)]
    known = {} if given.write and not given.names and not GOLDEN.exists() else golden()
    began, wrong, found = time.process_time(), 0, dict[str, Parts]()
    for case in chosen:
        at = time.process_time()
        found[case.name] = digest(case)
        if given.times:
            print(f"{time.process_time() - at:7.3f} s  {case.name}")
        lines = differences(found[case.name], known.get(case.name, {}))
        if lines and not given.write:
            wrong += 1
            print(case.name, *lines, sep="\n    ")
    refused = sum("refused" in parts for parts in found.values())
    took = time.process_time() - began
    print(f"{len(found)} cases, {refused} refused, {wrong} differ, {took:.1f} s of CPU")
    if given.write:
        _write({**known, **found})
    return 1 if wrong else 0


def _write(found: Mapping[str, Parts]) -> None:
    """Write golden values, one case a line, in the order of the cases."""
    lines = [
        f"{json.dumps(case.name)}: {json.dumps(found[case.name])}"
        for case in CASES
        if case.name in found
    ]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
