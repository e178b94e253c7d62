"""Whole results, kept as files: a change of any number shows up as a diff to be read.

Run with HYBRIDSIM_REFRESH_GOLDEN=1 to write them anew, and say in the changelog why they changed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import hybridsim
from hybridsim import make_strategy, simulate

HERE = Path(__file__).parent
CASES = [
    ("layer_512x128", "ahwa_lora_2026", "token_parallel", {"batch": 8}),
    ("layer_512x128", "ahwa_lora_2026:128ns", "token_parallel", {"unit": "both"}),
    ("layer_128x128", "ahwa_lora_2026", "layer_serial", {}),
    ("mobilebert_squad", "ahwa_lora_2026", "token_parallel", {}),
    ("mobilebert", "harp_2026", "token_parallel", {"unit": "cores"}),
    ("bert_base", "ahwa_lora_2026", "token_parallel", {}),
]


def summary(network: str, machine: str, strategy: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what of a result is compared: totals, and each different layer once."""
    net, parts = hybridsim.load(network, machine)
    result = simulate(net, parts, make_strategy(strategy, options), 128)
    left_out = {"inputs", "hybridsim_version", "resources", "energy", "area"}
    document = result.model_dump(exclude=left_out)
    seen: dict[str, dict[str, Any]] = {}
    for layer in document.pop("layers"):
        layer.pop("name"), layer.pop("block")
        seen.setdefault(json.dumps(layer, sort_keys=True), layer)
    return document | {"different_layers": list(seen.values())}


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case[:3]).replace(":", "_"))
def test_the_result_is_what_it_was(case: tuple[str, str, str, dict[str, Any]]) -> None:
    path = HERE / ("_".join([*case[:3], *map(str, case[3].values())]).replace(":", "_") + ".json")
    found = json.loads(json.dumps(summary(*case)))
    if os.environ.get("HYBRIDSIM_REFRESH_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert found == json.loads(path.read_text(encoding="utf-8"))
