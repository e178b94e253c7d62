"""The depth of a text, against what the parsers themselves find in texts they can read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hybridsim import nesting
from hybridsim.errors import InputError, SpecError
from hybridsim.measure.result import read_result
from hybridsim.nesting import MOST_DEPTH, check_json_depth, check_yaml_depth, json_value
from hybridsim.report.page.comparison import comparison_of_folder
from hybridsim.report.page.sweep import sweep_of_folder
from hybridsim.training.files import Journal

DEEP = f"lists or mappings are nested more than {MOST_DEPTH} deep; at most {MOST_DEPTH} would do"
VERY_DEEP = "[" * 100_000


def line_refused(check: Any, text: str) -> int | None:
    """Return the line on which a text gets too deep, or None."""
    try:
        check(text, "file")
    except SpecError as error:
        return int(error.place.removeprefix("line "))
    return None


def nested(depth: int, inside: str = "1") -> str:
    return "[" * depth + inside + "]" * depth


# --- by hand ----------------------------------------------------------------------------------

BOTH = [
    (nested(MOST_DEPTH), None),
    (nested(MOST_DEPTH + 1), 1),
    ('{"a": ' * MOST_DEPTH + "1" + "}" * MOST_DEPTH, None),
    ('{"a":\n' * (MOST_DEPTH + 1), MOST_DEPTH + 1),
    (f'["{VERY_DEEP}"]', None),
    (f'["\\"{VERY_DEEP}", 1]', None),
    (f'["\\\\", {VERY_DEEP}', 1),
    (f'["", "", "",\n{VERY_DEEP}', 2),
    (f"[{nested(3)},\n" * MOST_DEPTH, 1 + MOST_DEPTH - 3),
    ("[" + ", ".join(["[]", '"]"', '{"[": "}"}'] * 100) + "]", None),
    ("]" * 100 + nested(5), None),
    ("", None),
]


@pytest.mark.parametrize(("text", "line"), BOTH)
@pytest.mark.parametrize("check", [check_json_depth, check_yaml_depth])
def test_brackets_count_outside_quotes(check: Any, text: str, line: int | None) -> None:
    assert line_refused(check, text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\n".join(" " * i + "a:" for i in range(MOST_DEPTH)), None),
        ("\n".join(" " * i + "a:" for i in range(MOST_DEPTH + 1)), MOST_DEPTH + 1),
        ("\r\n".join(" " * i + "a:" for i in range(MOST_DEPTH + 1)), MOST_DEPTH + 1),
        ("\n".join("  " * i + f"a:\n{'  ' * i}- b: 1" for i in range(20)), 32),
        ("- " * MOST_DEPTH + "x", None),
        ("- " * 100_000 + "x", 1),
        ("? " * 100_000 + "x", 1),
        ("- " * (MOST_DEPTH - 1) + "a: b", None),
        ("- " * (MOST_DEPTH - 1) + "a: []", 1),
        ("a:\n" + "- b\n" * 100_000, None),
        ("a: {b: 1}\n" * 1000, None),
        (f"# {VERY_DEEP}\na: 1", None),
        (f"a: 1 # {VERY_DEEP}", None),
        (f"a: [1, # {VERY_DEEP}\n  2]", None),
        (f"a: b#{VERY_DEEP}", None),
        (f"a: b {VERY_DEEP}\nc: [1]", None),
        (f"a: it's {VERY_DEEP}\nb: don't", None),
        (f"a: words\n  {VERY_DEEP}\nb: 1", None),
        (f"a: words # told\n  {VERY_DEEP}", 2),
        (f"a: |\n  {VERY_DEEP}\n\n    {VERY_DEEP}\nb: 1", None),
        (f"a: >-  # told\n  {VERY_DEEP}\n  b: c\n", None),
        (f"- |2\n   {VERY_DEEP}\n", None),
        (f"a: |\n  text\nb: {VERY_DEEP}", 3),
        (f"a: 'it''s {VERY_DEEP}'", None),
        (f"a: '\\'\nb: {VERY_DEEP}", 2),
        (f'a: "\n\n{VERY_DEEP}"\nb: 1', None),
        (f"a: [b c's {nested(10)}, 'd', {VERY_DEEP}", 1),
        (f"a: [b\n  'c]', {VERY_DEEP}", None),
        (f"--- {VERY_DEEP}", 1),
        (f"a: 1\n---\n{VERY_DEEP}", 3),
        (f"a: &x\n  - {VERY_DEEP}", 2),
        (f"a: &x {VERY_DEEP}", 1),
        (f"a: !t {VERY_DEEP}", 1),
        (f"{nested(MOST_DEPTH)}: 1", 1),
        (f"a: '{VERY_DEEP}", None),
        (f"\u2028a: {VERY_DEEP}", 2),
    ],
)
def test_yaml_counts_indentation_and_knows_text(text: str, line: int | None) -> None:
    assert line_refused(check_yaml_depth, text) == line


def test_the_message_is_one_sentence_with_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        check_yaml_depth("a:\n- " + VERY_DEEP, "net.yaml")
    assert str(caught.value) == f"net.yaml: line 2: {DEEP}"


# --- against the parsers ----------------------------------------------------------------------

LEAVES = st.sampled_from([1, None, "a", "a]b", "[", '"', "\\", '\\"[', "{'", "\n[", "# {", "it's"])
TREES = st.recursive(
    LEAVES,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab[\"'"), below, max_size=3)
    ),
    max_leaves=20,
)


def depth_of(tree: object) -> int:
    """The definition."""
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def depth_told(check: Any, text: str) -> int:
    """Return the least limit that lets a text pass."""
    with pytest.MonkeyPatch.context() as patch:
        for most in range(200):
            patch.setattr(nesting, "MOST_DEPTH", most)
            try:
                check(text, "file")
            except SpecError:
                continue
            return most
    raise AssertionError(text)


@given(tree=TREES, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_json_is_as_deep_as_its_parser_finds(
    tree: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only)
    assert depth_told(check_json_depth, text) == depth_of(tree)
    assert json_value(text, "file") == tree


@given(tree=TREES, flow=st.sampled_from([None, False, True]), indent=st.integers(2, 5))
def test_yaml_that_was_written_is_as_deep_as_its_data(
    tree: object, flow: bool | None, indent: int
) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, indent=indent, width=30)
    assert depth_told(check_yaml_depth, text) == depth_of(tree)


PIECES = [
    "a:", "b: c", "- x", "- a: 1", "-", "? k", ": v", "x: |", "x: >-", "x: |2", "- |", "[a, [b]]",
    "k: [a,", "b]", '"q": 1', "'q': [", "']", "]", "{a: {b: c}}", "text # [ {", "# [[[", "---",
    "a: b [c {", "a: it's [", "more [ 'text", 'a: "x [ {', 'y"', "a: 'x ] ]'", "", "- - - a",
    "- - b: c", "{ 'a': \"b]\", c: d\"[\" }", "- ? a", "a: # [", "?", "a: [x # ]", "[a]: b",
    "{a: b}: [c]", "a:    x", "? [a]", "? - a", ": - c", 'x: "a\\"["', "a: [b 'c, d]", "a: [b:'c]",
]  # fmt: skip
LINES = st.tuples(st.sampled_from(["", "", "", " ", "  ", "  ", "    "]), st.sampled_from(PIECES))


@given(st.lists(LINES, max_size=8).map(lambda lines: "\n".join(map("".join, lines))))
@example("a:\n- |\n[a]: b\n")
@example("? - a\n: - - b\n")
@example("a: words\n\n  more [\n")
def test_any_yaml_is_as_deep_as_its_parser_finds(text: str) -> None:
    try:
        depth = _depth_of_events(text)
    except yaml.YAMLError:
        return  # broken: no depth to compare
    assert depth_told(check_yaml_depth, text) == depth


def _depth_of_events(text: str) -> int:
    """Return the most levels open at once; a pair in a list, [a: b], has no level of its own."""
    levels: list[int] = []
    most = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            in_brackets = isinstance(event, yaml.MappingStartEvent) and event.flow_style
            levels.append(not in_brackets or text[event.start_mark.index] == "{")
            most = max(most, sum(levels))
        elif isinstance(event, yaml.CollectionEndEvent):
            levels.pop()
    return most


# --- what reads back what was written ---------------------------------------------------------


def test_files_that_are_read_back_are_refused_alike(tmp_path: Path) -> None:
    readers = {
        "result.json": read_result,
        "comparison.json": comparison_of_folder,
        "study.json": sweep_of_folder,
    }
    for name, read in readers.items():
        (tmp_path / name).write_text("{}\n" * 2 + VERY_DEEP)
        with pytest.raises(SpecError) as caught:
            read(tmp_path)
        assert str(caught.value) == f"{tmp_path / name}: line 3: {DEEP}"


def test_a_deep_line_of_a_journal_is_a_broken_one(tmp_path: Path) -> None:
    Journal.open(tmp_path, {"study": {}})
    (tmp_path / "journal.jsonl").write_text(VERY_DEEP + "\n")
    with pytest.raises(InputError, match="line 1 is broken; delete the line"):
        Journal.open(tmp_path, {"study": {}})


def test_a_deep_account_of_a_study_is_another_study(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(VERY_DEEP)
    with pytest.raises(InputError, match="another --out would do"):
        Journal.open(tmp_path, {"study": {}})
