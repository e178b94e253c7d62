"""What people see of inputs and answers: ten lines, or a table in a notebook."""

from html.parser import HTMLParser
from typing import Any

import pytest

import hybridsim
from hybridsim import shown


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    small = hybridsim.load("layer_128x128", "ahwa_lora_2026")
    result = hybridsim.simulate(network, machine, tokens=8)
    both = hybridsim.compare(*small, ["token_parallel", "early_xa"], tokens=8)
    return {"network": network, "machine": machine, "result": result, "comparison": both}


@pytest.mark.parametrize("name", ["network", "machine", "result", "comparison"])
def test_an_answer_is_ten_lines_and_one_line(name: str, answers: dict[str, Any]) -> None:
    text = str(answers[name])
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines())) <= shown.WIDEST
    assert len(repr(answers[name])) <= 120


@pytest.mark.parametrize("name", ["network", "machine", "result", "comparison"])
def test_a_notebook_gets_a_table(name: str, answers: dict[str, Any]) -> None:
    html = answers[name]._repr_html_()
    assert html.startswith("<div>")
    assert html.count("<tr>") == html.count("</tr>") > 2


def test_ten_lines_say_what_the_result_says(answers: dict[str, Any]) -> None:
    result = answers["result"]
    text = str(result)
    assert text.startswith("mobilebert on ahwa_lora_2026, 8 tokens, token_parallel\n")
    assert f"{result.overhead_percent:.2f} %" in text
    assert hybridsim.units.format_ps(result.latency_ps) in text


def test_text_is_text_in_a_notebook_too() -> None:
    html = shown.html("<b>", ("<i>",), [("<script>", "a & b")])
    tags = set[str]()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.add(tag)  # type: ignore[method-assign]
    parser.feed(html)
    assert tags == {"div", "p", "strong", "table", "thead", "tr", "th", "tbody", "td"}


def test_what_is_empty_is_left_out_and_what_is_long_is_cut() -> None:
    text = shown.lines("head", [("nothing", ""), ("long", "x" * 200), ("a very long name", "y")])
    head, long, name = text.splitlines()
    assert head == "head"
    assert (len(long), long[-3:]) == (shown.WIDEST, "...")
    assert name == "  a very long name y"


def test_nested_values_have_their_paths() -> None:
    found = shown.flat({"a": {"b": 1, "c": None}, "d": "x", "e": []})
    assert [*found] == [("a.b", "1"), ("d", "x")]
