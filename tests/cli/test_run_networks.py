"""``hybridsim run`` with a strategy for whole networks."""

import os
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("explained_once")

RUN = ("run", "mobilebert", "harp_2026", "--tokens", "128")


def test_a_published_latency(cli) -> None:
    """HARP, Fig. 8: XB-pipe of MobileBERT takes 3.861117 ms."""
    document = cli.json(*RUN, "--strategy", "xb_pipe", "--batch", "8", "--no-adapters")
    assert document["latency_ps"] / 1e9 == pytest.approx(3.861117, rel=0.0003)
    assert document["overhead_percent"] == 0
    assert {op["kind"] for op in document["ops"]} == {"embedding", "attention", "add"}


def test_a_composed_strategy(cli) -> None:
    settings = ("batch=8", "barrier=true", "dispatch=reserved")
    options = [text for each in settings for text in ("--set", f"strategy.{each}")]
    composed = cli.json(*RUN, "--strategy", "network", "--no-adapters", *options)
    named = cli.json(*RUN, "--strategy", "il_xl_pipe", "--batch", "8", "--no-adapters")
    assert composed["latency_ps"] == named["latency_ps"]


def test_what_is_shown(cli) -> None:
    shown = " ".join(cli(*RUN, "--strategy", "xb_pipe", "--batch", "8").stdout.split())
    assert "block*.attention.self " in shown
    assert "kernel costs" in shown
    assert "yardstick 3.86 ms, without adapters" in shown
    assert "314 ops, declared by the machine" in shown


def test_a_folder_holds_the_other_ops_too(cli, tmp_path: Path) -> None:
    run = ("run", "t5_small_encoder", "harp_2026:t5", "--tokens", "16", "--strategy", "serial")
    cli(*run, "--no-adapters", "--out", str(tmp_path / "run"))
    assert "ops.csv" in os.listdir(tmp_path / "run")
    ops = pd.read_csv(tmp_path / "run" / "ops.csv")
    assert (ops["latency_ps"] > 0).all()
    assert (ops["kind"] == "attention").sum() == 6


def test_a_strategy_of_whole_layers_takes_a_batch_and_changes_nothing(cli) -> None:
    """HARP's six are asked for alike, though a batch has a sense for three of them only."""
    options = (*RUN, "--strategy", "serial", "--no-adapters")
    assert cli.json(*options, "--batch", "8") == cli.json(*options)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategy", "xb_pip"), "did you mean 'xb_pipe'"),
        (("--strategy", "xb_pipe", "--batch", "0"), "tokens above 0"),
        (("--strategy", "serial", "--batch", "-8"), "tokens above 0"),
        (("--strategy", "network", "--set", "strategy.split=perhaps"), "split"),
        (
            (
                "--strategy",
                "serial",
                "--set",
                "memory={sram: {size: 1 KiB}, dram: null, activation_width: 8 bit}",
            ),
            "raise memory.sram.size",
        ),
        (("--strategy", "xb_pipe", "--past", "8"), "no attention of mobilebert is causal"),
        (
            ("--strategy", "serial", "--no-adapters", "--set", "cluster.tcdm.size=128 B"),
            "one query",
        ),
        (("--strategy", "serial", "--set", "free_ops=[norm:]"), "free_ops"),
    ],
)
def test_what_cannot_be_served_is_refused(cli, arguments: tuple[str, ...], says: str) -> None:
    assert says in cli.refused(*RUN, *arguments)
