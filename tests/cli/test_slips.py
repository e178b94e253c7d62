"""Slips of the hand: the message says what was meant."""

import pytest

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
        ("run mobilebert ahwa_lora_2026 --head pooler", "head: found 'pooler', but a file with "
         "head: none says itself what follows the last block; leaving it out would do"),
        ("run layer_128x128 ahwa_lora_2026 --head nonsense", "but a file with a list of ops says"),
        ("show mobilebert --head nonsense", "head: found 'nonsense', but a file with head: none"),
        ("show ahwa_lora_2026 --head none", "--head: ahwa_lora_2026 is a machine"),
        ("show ahwa_lora_2026 --yaml --head none", "--head: machines have none"),
        ("generate gpt2 harp_2026 --head nonsense", "head: found 'nonsense'"),
    ],
)  # fmt: skip
def test_a_slip_is_named(cli, arguments: str, said: str) -> None:
    assert said in cli.refused(*arguments.split())


def test_heads_that_are_offered_are_those_of_the_network(cli) -> None:
    config = str(NETWORKS / "hf" / "bert_base" / "config.json")
    said = cli.refused("run", config, "ahwa_lora_2026", "--head", "sequence_classification")
    assert "one of none, question_answering, pooler would do for a bert" in said


def test_a_network_without_a_length_asks_for_the_option(cli, tmp_path) -> None:
    file = tmp_path / "one.yaml"
    op = "{name: a, kind: linear, in_features: 64, out_features: 64}"
    file.write_text(f"name: one\nsource: assumed\nops: [{op}]\n")
    assert "(--tokens N)" in cli.refused("run", str(file), "ahwa_lora_2026")
