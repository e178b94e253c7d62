"""Cases of strategies for whole networks: names, options, mixes, and bundled networks."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.digest.case import Case, mixed

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
            options = mixed(values, strategy, number)
            if options["attention"] == "flash" or options["flash"] == "always":
                options["keys_values"] = "reread"  # warps of keys are fetched again
            if options["keep_adapters"] == "network":
                settings = {**settings, "cluster.tcdm.size": "1 MiB"}
            title = f"mix {number} of {strategy} {network} {machine} {tokens} tokens after {past}"
            yield Case(network, machine, strategy, tokens, options, settings, past=past,
                       title=title, tables=number % 3 == 0)  # fmt: skip


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
    yield Case("llama_3_1_8b_lm", "llm_2026", "network", 1, {"chunk": 1}, past=20)
    yield Case("mobilebert_squad", "harp_2026", "il_pipe", 320)
    yield Case("llama_3_2_1b_lm", "llm_2026", "network", 1, {"chunk": 1}, past=100, adapters={})
    for sram in ("4 KiB", "64 KiB", "512 KiB"):
        given = {"adapters_by_capacity": True, "kept_over_link": True, "chunk": 8}
        settings = {**ONE_CHIP, "memory.sram.size": sram}
        yield Case("small_llama", "llm_2026", "network", 12, given, settings, past=40)
        yield Case("small_llama", "llm_2026", "network", 1, given, settings, past=300)
    for settings in (
        {"memory.dram": None},
        {"memory.dram": None, "memory.sram.size": "8 KiB"},
        {"memory.dram.size": "1 MiB", "memory.sram.size": "8 KiB"},
        {"energy": None},
        {"energy.cluster.power": None, "energy.cluster.engine_mac": None},
        {"energy.dram.static_power": "100 mW", "energy.tile.static_power": "3 mW"},
        {"energy.chip_link.power": "20 mW"},
    ):
        given = {"chunk": 8, "keep_adapters": "layer", "early_xa": True}
        yield Case("small_llama", "llm_2026", "network", 12, given, CHIPS | settings, past=300)
    for size in ("1 KiB", "2 KiB", "4 KiB", "8 KiB"):
        settings = {**NO_COSTS, "cluster.tcdm.size": size}
        yield Case("small_bert", "harp_2026", "il_xl_pipe", 64, {"chunk": 16}, settings, {})
    kept = {"chunk": 8, "keys_values": "resident", "attention": "pipelined"}
    yield Case("small_gpt2", "harp_2026:gpt2", "network", 16, kept, past=900, adapters={})
    whole = {"cluster.precision": "int8"}
    yield Case("small_bert", "harp_2026", "network", 16, {"chunk": 8}, whole, {})
    for size in ("4 KiB", "16 KiB", "32 KiB", "64 KiB"):
        settings = {"cluster.tcdm.size": size}
        yield Case("small_bert", "harp_2026", "network", 64, {"chunk": 16}, settings)
        yield Case("small_gpt2", "harp_2026", "xb_pipe", 64, {"chunk": 8}, settings, past=200)


def network_experts() -> Iterator[Case]:
    """Yield a network of experts: loads that are even and not, every option by itself."""
    for strategy in OF_NETWORKS:
        for tokens in (1, 5, 24):  # 2, 10 and 48 vectors for six experts
            options = {} if strategy in ("serial", "il_par", "il_pipe") else {"chunk": 8}
            tables = strategy == "network" and tokens == 5
            yield Case("small_mixtral", "llm_2026", strategy, tokens, options, ONE_CHIP,
                       tables=tables)  # fmt: skip
    for name, values in NETWORK_OPTIONS.items():
        for value in dict.fromkeys(values):
            if value is not None and name not in ("warp", "queries", "flash", "keys_values"):
                given = {"chunk": 8} | {name: value}
                yield Case("small_mixtral", "llm_2026", "network", 11, given, ONE_CHIP, past=4)
    yield Case("small_mixtral", "llm_2026", "network", 11, {"chunk": 8}, ONE_CHIP, adapters={})
    small = {**ONE_CHIP, "cluster.tcdm.size": "16 KiB"}
    yield Case("small_mixtral", "llm_2026", "network", 40, {"chunk": 16}, small)
