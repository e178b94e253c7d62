"""Slips of the hand: the message says what was meant."""

import pytest

from hybridsim.cli._arguments import APART, ONLY_WITH
from hybridsim.cli._commands import CommandOnUse, Commands
from hybridsim.library import NETWORKS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run ahwa_lora_2026 mobilebert", "ahwa_lora_2026: is a machine; commands"),
        ("run ahwa_lora_2026:256ns mobilebert", "is a machine; commands take the network first"),
        ("compare ahwa_lora_2026 mobilebert", "is a machine; commands take the network first"),
        ("run mobilebert gpt2", "gpt2: is a network; commands take the network first"),
        ("run MobileBERT ahwa_lora_2026", "did you mean 'mobilebert'?"),
        ("run mobilebert AHWA_LoRA_2026", "did you mean 'ahwa_lora_2026'?"),
        ("show MobileBERT", "did you mean 'mobilebert'?"),
        ("run mobilebert ahwa_lora_2026 --set rank=4", "rank: is no such field of a machine; "
         "adapters.rank would do"),
        ("run mobilebert ahwa_lora_2026 --set clusters=2", "cluster.count, or strategy.clusters"),
        ("run mobilebert ahwa_lora_2026 --set tokens=2", "the option --tokens would do"),
        ("run mobilebert ahwa_lora_2026 --set strategy=auto", "the option --strategy would do"),
        ("run mobilebert ahwa_lora_2026 --tokens 99999999999999999999",
         "--tokens: found '99999999999999999999'; a whole number would do, with at most 18"),
        ("serve layer_128x128 ahwa_lora_2026:served --load 1e308", "--load: found 1e+308"),
        ("sweep study.yaml --sample 2 --seed -1", "--seed: found '-1'; a whole number of 0 or mo"),
        ("machine estimate a b --node -3", "--node: found '-3'; a whole number from 7 to 180"),
        ("mcp --seconds 0", "--seconds: found '0'; a number from 1 to 86,400 would do"),
        ("run mobilebert ahwa_lora_2026 --head pooler", "head: found 'pooler', but a file with "
         "head: none says itself what follows the last block; leaving it out would do"),
        ("run layer_128x128 ahwa_lora_2026 --head nonsense", "but a file with a list of ops says"),
        ("show mobilebert --head nonsense", "head: found 'nonsense', but a file with head: none"),
        ("show ahwa_lora_2026 --head none", "--head: ahwa_lora_2026 is a machine"),
        ("show ahwa_lora_2026 --yaml --head none", "take no --head, --set or --check"),
        ("generate gpt2 harp_2026 --head nonsense", "head: found 'nonsense'"),
        ("run mobilebert ahwa_lora_2026 --batch 4 --set strategy.batch=8", "give one of them"),
        ("run mobilebert ahwa_lora_2026 --no-adapters --set adapters.rank=4",
         "--no-adapters and --set adapters.rank: give one of them"),
        ("run mobilebert ahwa_lora_2026:", "ahwa_lora_2026:: names no variant behind the colon"),
        ("run mobilebert ahwa_lora_2026 --strategy=", "--strategy: found an empty text"),
        ("run mobilebert ahwa_lora_2026 --trace-flows x", "--trace-flows: give it with --trace"),
        ("serve mobilebert ahwa_lora_2026 --rate 5 --load 0.5", "--rate and --load: give one of"),
        ("serve mobilebert ahwa_lora_2026 --requests f.csv --count 5",
         "--requests and --count: give one of them"),
        ("serve mobilebert ahwa_lora_2026 --too-long cut", "--too-long: give it with --requests"),
        ("alternatives mobilebert ahwa_lora_2026 --csv --json", "--csv and --json: give one of"),
        ("explain folder --strategy auto", "--strategy: give it with --run"),
        ("sweep study.yaml --seed 3", "--seed: give it with --sample"),
        ("show mobilebert --set tile.rows=8", "--set tile.rows: mobilebert is a network"),
        ("show ahwa_lora_2026 --set adapters.rank=8", "--set adapters.rank: ahwa_lora_2026 is a"),
    ],
)  # fmt: skip
def test_a_slip_is_named(cli, arguments: str, said: str) -> None:
    assert said in cli.refused(*arguments.split())


def test_what_options_are_said_to_need_or_to_exclude_is_there() -> None:
    """A name that is not one of a command would be a check that checks nothing."""
    options = {
        name: {text for parameter in command.command.params for text in parameter.opts}
        for name, command in Commands().commands.items()
        if isinstance(command, CommandOnUse) and hasattr(command.command, "callback")
    }
    for command, needs in ONLY_WITH.items():
        assert options[command] >= {*needs, *needs.values()}
    for pair in APART:
        assert any(own.issuperset(pair) for own in options.values())


def test_a_quantity_says_that_it_takes_no_exponent(cli) -> None:
    setting = "tile.integration_time=1e3 ns"
    said = cli.refused("run", "mobilebert", "ahwa_lora_2026", "--set", setting)
    assert "found '1e3 ns'; write a number, without sign or exponent, and one of" in said


def test_adapters_are_offered_to_networks_that_can_have_some(cli, tmp_path) -> None:
    file = tmp_path / "one.yaml"
    op = "{name: a, kind: linear, in_features: 64, out_features: 64}"
    norm = "{name: a, kind: norm, features: 64, function: layer_norm}"
    for ops, offered in ((op, True), (norm, False)):
        file.write_text(f"name: one\nsource: assumed\nops: [{ops}]\n")
        done = cli("run", str(file), "ahwa_lora_2026", "--tokens", "4", "--layers-only")
        assert ("--set adapters.rank=8 would put some on it" in done.stderr) == offered


def test_a_variant_that_is_none_is_told_by_show(cli, tmp_path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("extends: ahwa_lora_2026\nvariants: {odd: {tile.rows: oops}}\n")
    done = cli("show", str(file))
    assert done.exit_code == 0
    assert "variant odd: " in done.stderr
    assert "tile.rows: found 'oops'; a whole number would do" in done.stderr


def test_heads_that_are_offered_are_those_of_the_network(cli) -> None:
    config = str(NETWORKS / "hf" / "bert_base" / "config.json")
    said = cli.refused("run", config, "ahwa_lora_2026", "--head", "sequence_classification")
    assert "one of none, question_answering, pooler would do for a bert" in said


def test_a_network_without_a_length_asks_for_the_option(cli, tmp_path) -> None:
    file = tmp_path / "one.yaml"
    op = "{name: a, kind: linear, in_features: 64, out_features: 64}"
    file.write_text(f"name: one\nsource: assumed\nops: [{op}]\n")
    assert "(--tokens N)" in cli.refused("run", str(file), "ahwa_lora_2026")
