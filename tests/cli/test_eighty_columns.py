"""What a terminal of 80 columns shows of every bundled network: whole words, whole lines."""

import io
import re

import pytest
from rich.console import Console, RenderableType

import hybridsim
from hybridsim.cli import _run_answer
from hybridsim.cli._terminal import Sentence
from hybridsim.cli.compare import render as compared
from hybridsim.cli.explain import render as explained
from hybridsim.comparison import compare
from hybridsim.explanation import explain
from hybridsim.library import network_names
from hybridsim.whole import run_by_default, with_whole_network
from tests.sampling import every

COLUMNS = 80
ALIKE = ("8b", "_squad", "_lm")
"""In names of networks that another one is like, but for its size or its last layer."""
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if any(part in name for part in ALIKE) else [])
    for name in network_names()
]


def lines(shown: RenderableType, width: int) -> list[str]:
    """Return what a terminal of a width shows."""
    file = io.StringIO()
    Console(file=file, width=width, highlight=False).print(shown)
    return file.getvalue().splitlines()


def check(shown: RenderableType) -> None:
    """Check that every line fits, that every word is one of the text on endless lines, and that no
    line begins with the unit of a number before it."""
    found = lines(shown, COLUMNS)
    assert [line for line in found if len(line) > COLUMNS] == []
    assert [line for line in found if re.match(r"\s*(%|[num]?[sJ]|[KM]iB)\b", line)] == []
    whole = set(" ".join(lines(shown, 100_000)).split())
    assert [word for line in found for word in line.split() if word not in whole] == []


def machine_for(network: str) -> str:
    """Return a machine that the network fits."""
    return "llm_2026" if network.startswith("llama") else "ahwa_lora_2026"


@pytest.mark.parametrize("name", every(4, NAMES))
def test_a_run_fits_with_its_words_whole(name: str) -> None:
    network, machine = hybridsim.load(name, machine_for(name))
    result = run_by_default(network, machine, 9).result
    check(_run_answer.render(with_whole_network(result, network, machine)))
    check(_run_answer.render(result, every_layer=True))


@pytest.mark.slow  # below is one of a layer
@pytest.mark.parametrize("name", NAMES[::4])
def test_an_explanation_fits_with_its_words_whole(name: str) -> None:
    network, machine = hybridsim.load(name, machine_for(name))
    check(explained(explain(run_by_default(network, machine, 2).result)))


@pytest.mark.parametrize("name", every(12, NAMES, first=4))
def test_a_comparison_fits_with_its_words_whole(name: str) -> None:
    network, machine = hybridsim.load(name, machine_for(name))
    check(compared(compare(network, machine, tokens=2)))


def test_a_number_stays_with_its_unit_and_an_option_with_its_value() -> None:
    for width in range(25, 60):
        told = "took 12.5 ms of 30 % in 4.5 KiB at 1 GHz; --set cluster.count=2 --quiet"
        found = lines(Sentence(told, 2), width)
        assert " ".join(line.strip() for line in found) == told
        for pair in ("12.5 ms", "30 %", "4.5 KiB", "1 GHz;", "--set cluster.count=2"):
            assert any(pair in line for line in found), (width, pair)


def test_no_line_of_an_explanation_says_again_what_another_says() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    found = lines(explained(explain(run_by_default(network, machine, 64).result)), COLUMNS)
    for once in (
        "43.7 us (90 %",
        "166.67 % (90 %",
        "bound by     engine",
        "covers  ",
        "assumed  ",
    ):
        assert sum(once in line for line in found) == 1, once
    assert sum("overhead" in line for line in found) == 1


def test_layers_alike_are_one_row() -> None:
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    result = run_by_default(network, machine, 16).result
    table = lines(_run_answer.render(result), COLUMNS)
    rows = table[1 : table.index("")]
    assert len(rows) == 6
    assert all(re.match(r"block\*\.\S+ +6 ", row) for row in rows)
    every = lines(_run_answer.render(result, every_layer=True), COLUMNS)
    assert every.index("") == 1 + len(result.layers)
