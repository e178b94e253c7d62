"""What is digested: runs of every strategy, option and machine, and the questions beside them.

Many cases are mixes: every option of a strategy takes one of its values, chosen by a hash of the
number of the mix and the name of the option, so that options meet in many ways and each run of
this file gives the same list.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.digest.networks import CONFIGS, ONE_LAYER
from tests.digest.questions import EXPLAINED, GENERATED, QUESTIONS, SERVED, SWEPT

__all__ = ["CASES", "CONFIGS", "ONE_LAYER", "Case"]


@dataclass(frozen=True)
class Case:
    """One thing that is run and hashed."""

    network: str
    machine: str = "ahwa_lora_2026"
    strategy: str = "token_parallel"
    tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the machine, by dotted path."""
    adapters: Mapping[str, Any] | None = None
    """What differs of the adapters; {} is none of them, None leaves them as the network has them.
    """
    past: int = 0
    sequences: int = 1
    """Sequences that run together; several give no result, as they are part of a generation."""
    kind: str = "run"
    more: Mapping[str, Any] = field(default_factory=dict)
    """What other kinds than ``run`` ask; ``numerics`` of a run."""
    tables: bool = False
    """Whether all tables of the run and its trace are hashed, too."""
    slow: bool = False
    """Whether it takes seconds."""
    title: str = ""
    """How it is called; what it holds unless given."""

    @property
    def name(self) -> str:
        """The name of the case: what it holds, in a line."""
        if self.title:
            return f"{self.kind}: {self.title}"
        words = [f"{self.kind}:", self.network, self.machine, self.strategy]
        words += [f"{self.tokens} tokens"] if self.tokens else []
        words += [f"after {self.past}"] if self.past else []
        words += [f"x {self.sequences}"] if self.sequences > 1 else []
        if self.adapters is not None:
            words.append(_text(self.adapters) or "no adapters")
        words += [_text(self.options), _text(self.settings), _text(self.more)]
        return " ".join(word for word in words if word)


def _text(given: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in given.items())


def chosen(values: Sequence[Any], *why: object) -> Any:
    """Return one of some values, the same one for equal reasons."""
    found = hashlib.blake2b(repr(why).encode(), digest_size=8).digest()
    return values[int.from_bytes(found, "big") % len(values)]


# ---- strategies for single layers

LAYER_OPTIONS: dict[str, Sequence[Any]] = {
    "batch": (None, None, 1, 4, 8, 13, 32),
    "unit": ("matrix_engine", "cores", "both", "balanced", "either", "best"),
    "order": ("direct", "swapped", "best"),
    "buffers": (1, 2, 2, 3),
    "early_xa": (False, True),
    "add": ("fused", "separate"),
    "first_batch": (None, 1, 4),
    "last_batch": (None, 1, 2),
    "clusters": (1, 2, "all"),
    "prefetch_weights": (False, True),
    "stream": (False, True),
}
ONLY: dict[str, dict[str, Sequence[Any]]] = {
    "token_parallel": {},
    "early_xa": {"early_xa": (True,)},
    "fused_add": {"add": ("fused",)},
    "separate_add": {"early_xa": (True,), "add": ("separate",)},
    "swapped": {"order": ("swapped",)},
    "split_cores": {"unit": ("either",)},
    "multi_cluster": {"clusters": (2, "all")},
    "cross_layer": {"stream": (True,)},
}
"""Strategies made of options of the pipeline -> values that they leave open."""
LAYER_PLACES: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("layer_512x128", "ahwa_lora_2026", 100, {"cluster.count": 2}),
    ("layer_128x128", "ahwa_lora_2026:128ns", 57, {"cluster.count": 3, "link.count": 2}),
    ("wide", "ahwa_lora_2026", 37, {"cluster.count": 2, "cluster.tcdm.size": "512 KiB"}),
    ("small_bert", "ahwa_lora_2026:512ns", 24, {"cluster.count": 2}),
    ("small_mobilebert", "harp_2026", 20, {}),
    ("small_gpt2", "harp_2026:bert_base", 18, {}),
)
MIXES = 8
"""Mixes of each strategy for single layers, beyond the many of token_parallel."""


def layer_mixes() -> Iterator[Case]:
    """Yield mixes of all options of each strategy for single layers."""
    for strategy, only in ONLY.items():
        values = LAYER_OPTIONS | only
        for number in range(3 * MIXES if strategy == "token_parallel" else MIXES):
            place = LAYER_PLACES[number % len(LAYER_PLACES)]
            options = {name: chosen(each, strategy, number, name) for name, each in values.items()}
            options = {name: value for name, value in options.items() if value is not None}
            yield Case(
                place[0], place[1], strategy, place[2], options, place[3], tables=number == 0
            )


def layer_options() -> Iterator[Case]:
    """Yield every value of every option of the pipeline by itself, and of the serial baseline."""
    place = {"settings": {"cluster.count": 2}, "tokens": 75}
    for name, values in LAYER_OPTIONS.items():
        for value in dict.fromkeys(values):
            if value is not None:
                yield Case("layer_512x128", options={name: value}, **place)  # type: ignore[arg-type]
    for unit in LAYER_OPTIONS["unit"]:
        options = {"unit": unit, "order": "best", "batch": 9, "buffers": 1}
        yield Case("layer_512x128", "ahwa_lora_2026", "layer_serial", 75, options)
    for number, order in enumerate(("direct", "swapped")):
        yield Case("small_bert", "ahwa_lora_2026", "layer_serial", 24, {"order": order},
                   tables=number == 0)  # fmt: skip
    yield Case("layer_512x128", tokens=75, options={"add": "separate", "unit": "balanced"})
    yield Case("layer_512x128", tokens=75, options={"first_batch": 2, "last_batch": 2, "batch": 8})
    yield Case("small_bert", tokens=33, options={"stream": True, "prefetch_weights": True})
    yield Case("small_bert", strategy="cross_layer", tokens=33, options={"unit": "best"})


def layer_names() -> Iterator[Case]:
    """Yield every strategy for single layers by name, on layers and small networks."""
    for strategy in ("all_analog", "layer_serial", *ONLY, "auto"):
        yield Case("layer_512x128", "ahwa_lora_2026", strategy, 100, tables=True)
        yield Case("small_mobilebert", "harp_2026", strategy, 24)
        if strategy != "auto":
            yield Case("layer_128x128", "ahwa_lora_2026:128ns", strategy, 320)
            yield Case("minilm_l6", "ahwa_lora_2026", strategy, 24)
    for settings in ({}, {"cluster.count": 2, "tile.integration_time": "96 ns"}):
        for across in (True, False):
            options = {"across_layers": across}
            yield Case("small_bert", "ahwa_lora_2026", "auto", 24, options, settings)


def layer_shapes() -> Iterator[Case]:
    """Yield ranks, lengths, bundled networks, and scratchpads that are too small."""
    for rank in (1, 3, 16, 64):
        yield Case("layer_512x128", tokens=64, adapters={"rank": rank})
    for tokens in (1, 2, 7, 128, 512):
        yield Case("layer_512x128", tokens=tokens)
    for options in ({}, {"unit": "best", "order": "best"}, {"buffers": 3}, {"batch": 64}):
        yield Case("wide", tokens=50, options=options)
    for size in ("1 KiB", "8 KiB", "24 KiB", "32 KiB", "48 KiB", "64 KiB"):
        settings = {"cluster.tcdm.size": size}
        yield Case("layer_512x128", tokens=40, settings=settings)
        yield Case("wide", tokens=40, settings=settings, options={"early_xa": True})
        yield Case("small_bert", strategy="cross_layer", tokens=40, settings=settings)
    yield Case("layer_512x128", tokens=40, options={"batch": 40}, settings=settings)
    for network in ("distilbert", "gpt2", "t5_small_encoder", "t5_small_decoder", "vit_b_16"):
        tokens = None if network == "vit_b_16" else 8
        yield Case(network, tokens=tokens, adapters={"rank": 4})
    yield Case("minilm_l6", tokens=16, adapters={"rank": 8, "targets": ["*query*", "*value*"]})
    yield Case("minilm_l6", tokens=16, adapters={})
    yield Case("mobilebert", tokens=128, tables=True)
    yield Case("mobilebert_squad", tokens=32, options={"unit": "best", "order": "best"})
    yield Case("bert_base_squad", tokens=16, options={"early_xa": True, "last_batch": 1})


def layer_machines() -> Iterator[Case]:
    """Yield every variant of the machines, and parts of machines that are missing."""
    for variant in (
        "128ns", "256ns", "512ns", "served", "tile_power", "hermes_1_phase", "hermes_4_phase",
        "speech_chip", "gated_engine", "harp_powers", "redmule_2022", "sram_operands",
        "static_tenth",
    ):  # fmt: skip
        machine = f"ahwa_lora_2026:{variant}"
        options = {"unit": "both"} if variant.startswith("harp") else {}
        yield Case("layer_512x128", machine, tokens=48, options=options)
        yield Case("small_bert", machine, "network", 24, {"chunk": 8, "unit": "best"})
    for setting in (
        {"cluster.matrix_engine": None},
        {"cluster": None},
        {"energy": None},
        {"area": None},
        {"tile.output_buffers": 1},
        {"tile.output_buffers": 3},
        {"link.count": 2, "cluster.count": 2},
        {"link.latency": "7 cycles"},
        {"cluster.precision": "fp32", "cluster.matrix_engine": None},
        {"cluster.precision": "int8"},
        {"cluster.clock.frequency": "1 GHz"},
        {"tile.rows": 100, "tile.columns": 60},
        {"tile.periphery.lanes": 8, "tile.periphery.setup": "3 cycles"},
        {"tile.sharing": "packed"},
        {"tile.sharing": "area", "tile.tiers": 4, "tile.count": 20},
        {"tile.sharing": "balance", "tile.tiers": 4, "tile.count": 20},
        {"tile.sharing": "latency", "tile.tiers": 4, "tile.count": 20},
        {"tile.count": 1},
    ):
        for strategy, network in (("token_parallel", "layer_512x128"), ("network", "small_bert")):
            options = {"unit": "cores"} if "cluster.matrix_engine" in setting else {}
            yield Case(network, "ahwa_lora_2026", strategy, 20, options, setting)
    for strategy, unit in (("token_parallel", "matrix_engine"), ("network", "both")):
        missing = {"cluster.matrix_engine": None}
        yield Case("small_bert", "ahwa_lora_2026", strategy, 20, {"unit": unit}, missing)


# ---- strategies for whole networks

NETWORK_OPTIONS: dict[str, Sequence[Any]] = {
    "chunk": (5, 8, 8, 16, "all", "best"),
    "where.attention": ("matrix_engine", "cores", "best"),
    "where.softmax": ("cores",),
    "where.add": ("periphery", "cores", "best"),
    "where.norm": ("cores",),
    "where.activation": ("cores",),
    "where.embedding": ("dram",),
    "split": (True, True, False),
    "attention": ("sequential", "pipelined", "flash"),
    "keys_values": ("reread", "resident"),
    "queries": (None, 4, 16),
    "flash": ("needed", "always"),
    "warp": (None, 8, 16),
    "barrier": (False, True),
    "dispatch": ("online", "reserved"),
    "unit": ("matrix_engine", "cores", "both", "best"),
    "order": ("direct", "swapped", "best"),
    "early_xa": (False, True),
    "keep_adapters": ("best", "network", "layer", "chunk"),
    "share_adapters": ("never", "best"),
    "kept_over_link": (False, True),
    "adapters_by_capacity": (False, True),
}
MESH = {"kind": "mesh", "rows": 2, "columns": 3, "clock": {"frequency": "500 MHz"},
        "width": "64 B/cycle", "hop": "2 cycles"}  # fmt: skip
TREE = {"kind": "tree", "arity": 2, "levels": 2, "clock": {"frequency": "500 MHz"},
        "width": "64 B/cycle", "hop": "2 cycles"}  # fmt: skip
ONE_CHIP = {"chips": None, "tile.count": 100, "cluster.count": 5}
CHIPS = {"tile.count": 4, "chips.count": 4, "cluster.count": 3}
NO_COSTS = {"cluster.kernel_costs": None}
NETWORK_PLACES: tuple[tuple[str, str, int, int, dict[str, Any]], ...] = (
    ("small_bert", "harp_2026:bert_base", 40, 0, {}),
    ("small_llama", "llm_2026", 24, 0, ONE_CHIP),
    ("small_mobilebert", "harp_2026", 48, 0, {}),
    ("small_gpt2", "harp_2026:gpt2", 21, 17, {}),
    ("small_llama", "llm_2026", 24, 9, CHIPS),
    ("small_t5", "harp_2026:t5", 20, 0, NO_COSTS),
    ("small_llama", "llm_2026", 19, 0, {**CHIPS, "network_on_chip": MESH}),
    ("small_llama", "llm_2026", 1, 100, {**ONE_CHIP, "memory.sram.size": "160 KiB"}),
    ("small_bert", "ahwa_lora_2026", 24, 0, {}),
    ("small_llama", "llm_2026", 16, 5, {**ONE_CHIP, "network_on_chip": TREE}),
    ("small_t5_decoder", "harp_2026:t5", 18, 3, {}),
)
"""Network, machine, tokens, past tokens, fields of the machine."""
OF_NETWORKS = ("serial", "il_par", "il_pipe", "xl_pipe", "il_xl_pipe", "xb_pipe", "network")


def network_mixes() -> Iterator[Case]:
    """Yield mixes of all options of each strategy for whole networks."""
    for strategy in OF_NETWORKS:
        values = dict(NETWORK_OPTIONS)
        if strategy in ("serial", "il_par", "il_pipe"):
            values["chunk"] = ("all",)
        for number in range(33 if strategy == "network" else 11):
            network, machine, tokens, past, settings = NETWORK_PLACES[number % len(NETWORK_PLACES)]
            options = {name: chosen(each, strategy, number, name) for name, each in values.items()}
            options = {name: value for name, value in options.items() if value is not None}
            yield Case(network, machine, strategy, tokens, options, settings, past=past,
                       tables=number == 5)  # fmt: skip


def network_options() -> Iterator[Case]:
    """Yield every value of every option for whole networks by itself, on two machines."""
    for name, values in NETWORK_OPTIONS.items():
        for value in dict.fromkeys(values):
            if value is not None:
                given = {"chunk": 8} | {name: value}
                yield Case("small_bert", "harp_2026:bert_base", "network", 36, given)
                yield Case("small_llama", "llm_2026", "network", 20, given, CHIPS, past=4)
    yield Case("small_bert", "harp_2026", "network", 36, {"batch": 8})
    for chunk in (1, 4, 16, 32, 36, 100):
        yield Case("small_bert", "harp_2026", "xb_pipe", 36, {"chunk": chunk})


def network_names() -> Iterator[Case]:
    """Yield every strategy for whole networks by name, with adapters and without."""
    for strategy in OF_NETWORKS:
        options = {} if strategy in ("serial", "il_par", "il_pipe") else {"chunk": 8}
        yield Case("small_mobilebert", "harp_2026", strategy, 40, tables=strategy == "xb_pipe")
        yield Case("minilm_l6", "harp_2026:bert_base", strategy, 24, options)
        yield Case("small_gpt2", "harp_2026:gpt2", strategy, 20, options, past=11)
        yield Case("small_gpt2", "harp_2026:gpt2", strategy, 1, past=64, adapters={})
        yield Case("small_llama", "llm_2026", strategy, 16, options, CHIPS, adapters={})
        yield Case("small_llama", "llm_2026", strategy, 6, options, CHIPS, sequences=3)
        yield Case("small_llama", "llm_2026", strategy, 1, options, ONE_CHIP, past=30, sequences=4)


def network_bundled() -> Iterator[Case]:
    """Yield the bundled networks, on all variants of the machines that hold them."""
    of_harp = {
        "mobilebert": "mobilebert", "bert_base": "bert_base", "gpt2": "gpt2",
        "t5_small_encoder": "t5", "bert_large": "bert_large",
    }  # fmt: skip
    for network, variant in of_harp.items():
        tokens = 32 if network == "mobilebert" else 16
        for strategy, chunk in (("xb_pipe", 8), ("serial", None), ("network", 8)):
            options = {"chunk": chunk} if chunk else {}
            bare = {} if strategy == "xb_pipe" else None
            yield Case(network, f"harp_2026:{variant}", strategy, tokens, options, adapters=bare)
    for network in ("t5_small_decoder", "distilbert", "vit_b_16", "bert_base_squad"):
        tokens = None if network == "vit_b_16" else 16
        options = {"chunk": 64 if network == "vit_b_16" else 8}
        yield Case(network, "harp_2026:bert_base", "il_xl_pipe", tokens, options)
    yield Case("mobilebert", "harp_2026", "xb_pipe", 128, {"chunk": 16}, adapters={}, tables=True)
    yield Case("mobilebert", "harp_2026", "network", 128, {"chunk": 32, "unit": "best"})
    for variant in ("", ":mesh", ":tree", ":harp_powers"):
        machine = f"llm_2026{variant}"
        yield Case("llama_3_2_1b", machine, "network", 4, {"chunk": 4}, past=3)
        yield Case("small_llama", machine, "xb_pipe", 8, {"chunk": 4}, tables=variant == ":mesh")
    yield Case("llama_3_2_1b_lm", "llm_2026", "network", 1, {"chunk": 1}, past=100, adapters={})
    for sram in ("4 KiB", "64 KiB", "512 KiB"):
        given = {"adapters_by_capacity": True, "kept_over_link": True, "chunk": 8}
        settings = {**ONE_CHIP, "memory.sram.size": sram}
        yield Case("small_llama", "llm_2026", "network", 12, given, settings, past=40)
        yield Case("small_llama", "llm_2026", "network", 1, given, settings, past=300)
    for size in ("4 KiB", "16 KiB", "32 KiB", "64 KiB"):
        settings = {"cluster.tcdm.size": size}
        yield Case("small_bert", "harp_2026", "network", 64, {"chunk": 16}, settings)
        yield Case("small_gpt2", "harp_2026", "xb_pipe", 64, {"chunk": 8}, settings, past=200)


def refused() -> Iterator[Case]:
    """Yield what cannot be run; the sentence that says why is digested."""
    yield Case("layer_512x128", tokens=10, options={"batch": 0})
    yield Case("layer_512x128", tokens=10, options={"nothing": 1})
    yield Case("layer_512x128", tokens=10, options={"unit": "gpu"})
    yield Case("layer_512x128", tokens=10, options={"clusters": 3})
    yield Case("layer_512x128", tokens=10, strategy="swapped", options={"order": "direct"})
    yield Case("layer_512x128", tokens=10, strategy="fastest")
    yield Case("layer_512x128", tokens=10, past=4)
    yield Case("layer_512x128", tokens=2**21)
    yield Case("small_gpt2", "harp_2026", "token_parallel", 4, past=4)
    yield Case("small_gpt2", "harp_2026", "network", 4, {"chunk": 0})
    yield Case("small_gpt2", "harp_2026", "network", 4, {"where.add": "nowhere"})
    yield Case("small_gpt2", "harp_2026", "serial", 4, {"where.softmax": "matrix_engine"})
    yield Case("small_bert", "harp_2026", "network", 4, settings={"cluster": None})
    yield Case("small_bert", "harp_2026", "network", 8, settings={"tile.count": 1})
    yield Case("small_llama", "llm_2026", "network", 8, settings={"chips.count": 1})


def numerics() -> Iterator[Case]:
    """Yield runs whose adapter kernels are computed, on each unit."""
    for unit in ("matrix_engine", "cores", "both", "balanced"):
        yield Case("layer_128x128", tokens=16, options={"unit": unit}, more={"numerics": True})
    given = {"unit": "best", "order": "swapped"}
    yield Case("small_bert", tokens=8, options=given, more={"numerics": True})


def questions() -> Iterator[Case]:
    """Yield what is asked beside a single run."""
    for given in (*EXPLAINED, *GENERATED, *QUESTIONS, *SERVED, *SWEPT):
        yield Case(**given)


def _all() -> tuple[Case, ...]:
    """Return all cases, each once."""
    found: dict[str, Case] = {}
    for source in (
        layer_names, layer_options, layer_mixes, layer_shapes, layer_machines, network_names,
        network_options, network_mixes, network_bundled, refused, numerics, questions,
    ):  # fmt: skip
        for case in source():
            known = found.get(case.name)
            if known is None or (case.tables and not known.tables):
                found[case.name] = case
    return tuple(found.values())


CASES = _all()
"""All cases, in a fixed order."""
