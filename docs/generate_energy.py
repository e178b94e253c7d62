"""Write the tables of docs/energy.md anew: ``python docs/generate_energy.py``.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

import re
from pathlib import Path

import pandas as pd

from hybridsim.arch import Machine, load_machine
from hybridsim.programs import CHOICES, LoraChoice
from hybridsim.programs.lora_energy import LoraEnergy, lora_energy
from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.validation.harp_energy import compare_energies

PAGE = Path(__file__).parent / "energy.md"
MACHINE = "ahwa_lora_2026"
SHAPES = ((128, 128), (512, 128), (768, 768), (4096, 4096))
TOKENS, RANK = 32, 8
DIRECT, SWAPPED, CORES, _ = CHOICES
NJ = 10**9


def tables() -> dict[str, str]:
    """Return marker name -> Markdown table."""
    return {
        "harp": markdown_table(harp_rows()),
        "lora": markdown_table(by_shape()),
        "changes": markdown_table(changes()),
    }


def harp_rows() -> pd.DataFrame:
    """Return HARP's published energies [mJ] beside the simulated ones."""
    found = compare_energies()
    found = found[found["energy_error_percent"].notna()]
    rows = [
        {
            "fig.": row["figure"],
            "network": row["model"],
            "strategy": f"{row['config']} {_objective(row['other_params'])}".strip(),
            "published mJ": f"{float(row['energy_mJ']):.4f}",
            "simulated": f"{row['simulated_energy_mJ']:.4f}",
            "error": _percent(row["energy_error_percent"]),
            "digital error": _percent(row["digital_error_percent"]),
            "published analog": f"{float(row['analog_energy_mJ']):.4f}",
            "as HARP counts": f"{row['analog_as_counted_mJ']:.4f}",
            "analog error": _percent(row["analog_error_percent"]),
            "all layers": f"{row['simulated_analog_mJ']:.4f}",
        }
        for row in found.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _objective(parameters: str) -> str:
    level = re.search(r"opt_level=(\w+)", parameters)
    return {"area": "(area)", "area_latency_balance": "(balance)"}.get(
        level[1] if level else "", ""
    )


def _percent(value: float) -> str:
    return f"{value:+.2f} %"


def by_shape() -> pd.DataFrame:
    """Return what an adapter draws per token for each shape, under three sets of constants."""
    rows = []
    for inner, outer in SHAPES:
        shape = (inner, outer, RANK, TOKENS)
        plain = lora_energy(load_machine(MACHINE), *shape, DIRECT)
        gated = lora_energy(load_machine(f"{MACHINE}:gated_engine"), *shape, DIRECT)
        harp = lora_energy(load_machine(f"{MACHINE}:harp_powers"), *shape, DIRECT)
        rows.append(
            {
                "layer": f"{inner}x{outer}",
                "MVMs nJ": _nj(plain.analog),
                "adapter nJ": _nj(plain.digital),
                "x analog": _times(plain),
                "of it engine": _nj(plain.adapter["matrix_engine"]),
                "TCDM and link": _nj(plain.digital - plain.adapter["matrix_engine"]),
                "padding free (`gated_engine`) nJ": _nj(gated.digital),
                "`harp_powers` nJ": _nj(harp.digital),
            }
        )
    return pd.DataFrame(rows)


def changes() -> pd.DataFrame:
    """Return what changes the energy of 512x128 [nJ per token]."""
    shape = (512, 128)
    plain = load_machine(MACHINE)
    int8 = load_machine(MACHINE, {"cluster.precision": "int8"})
    by_features = load_machine(f"{MACHINE}:feature_major")
    variants = (
        "gated_engine", "harp_powers", "redmule_2022", "sram_operands",
        "hermes_1_phase", "hermes_4_phase", "speech_chip", "tile_power",
    )  # fmt: skip
    rows = [
        _row("as it is: engine, direct order", plain, *shape),
        *(_row(f"`{name}`", load_machine(f"{MACHINE}:{name}"), *shape) for name in variants),
        _row("swapped order", plain, *shape, choice=SWAPPED),
        _row("swapped order, `feature_major`", by_features, *shape, choice=SWAPPED),
        _row("cores in fp16", plain, *shape, choice=CORES),
        _row("cores in int8", int8, *shape, choice=CORES),
        *(_row(f"rank {rank}", plain, *shape, rank=rank) for rank in (4, 16, 32)),
        *(_row(f"batches of {tokens}", plain, *shape, tokens=tokens) for tokens in (8, 16, 128)),
        _row("A and B fetched for every batch", plain, *shape, weights=True),
    ]
    return pd.DataFrame(rows)


def _row(
    what: str,
    machine: Machine,
    inner: int,
    outer: int,
    rank: int = RANK,
    tokens: int = TOKENS,
    choice: LoraChoice = DIRECT,
    weights: bool = False,
) -> dict[str, str]:
    found = lora_energy(machine, inner, outer, rank, tokens, choice)
    drawn = found.digital + found.weights * weights
    return {
        "what": what,
        "MVMs nJ": _nj(found.analog, tokens),
        "adapter nJ": _nj(drawn, tokens),
        "x analog": f"{drawn / found.analog:.2f}",
    }


def _nj(aj: int, tokens: int = TOKENS) -> str:
    return f"{aj / tokens / NJ:.2f}"


def _times(found: LoraEnergy) -> str:
    return f"{found.digital / found.analog:.2f}"


if __name__ == "__main__":
    PAGE.write_text(refilled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
