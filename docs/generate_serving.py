"""Write the tables of docs/serving.md anew: ``python docs/generate_serving.py``.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from pathlib import Path

import pandas as pd

import hybridsim
from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.service import POLICIES, compare_alternatives, poisson_requests, run_service
from hybridsim.units import format_share

PAGE = Path(__file__).parent / "serving.md"
MACHINE = "ahwa_lora_2026:served"
REQUESTS, LOAD, MIB = 1000, 0.7, 2**20


def tables() -> dict[str, str]:
    """Return marker name -> Markdown table."""
    return {"policies": markdown_table(policies()), "ways": markdown_table(ways())}


def policies() -> pd.DataFrame:
    """Return throughput, swaps and latencies of eight tasks on one chip, and of one task."""
    network, machine = hybridsim.load("mobilebert", MACHINE)
    alone = hybridsim.simulate(network, machine).latency_ps
    rows = []
    for tasks, policy, overlap, store in [
        (1, "lru", False, 8),
        *((8, policy, overlap, 16) for policy in POLICIES for overlap in (False, True)),
        (8, "lru", False, 32),
    ]:
        names = [f"task{i}" for i in range(tasks)]
        requests = poisson_requests(names, LOAD * 1e12 / alone, REQUESTS, 128)
        found = run_service(
            network, machine, requests, policy=policy, overlap=overlap, store_bytes=store * MIB
        ).result
        rows.append(
            {
                "tasks": tasks,
                "policy": policy + (", overlapped" if overlap else ""),
                "store [MiB]": store,
                "requests/s": f"{found.throughput_per_s:.2f}",
                "swaps/s": f"{found.swaps_per_s:.2f}",
                "lost to swaps": format_share(found.lost_to_swaps, 1),
                "p50 [ms]": f"{found.latency_ms['p50']:.1f}",
                "p99 [ms]": f"{found.latency_ms['p99']:.1f}",
            }
        )
    return pd.DataFrame(rows)


def ways() -> pd.DataFrame:
    """Return parameters, area and the cost of a switch for 1 to 64 tasks."""
    table = compare_alternatives(*hybridsim.load("mobilebert", MACHINE), (1, 8, 64)).table
    return pd.DataFrame(
        {
            "tasks": table["tasks"],
            "way": table["way"].str.replace("_", " "),
            "parameters [M]": (table["parameters"] / 1e6).map("{:.1f}".format),
            "tiles": table["tiles"],
            "area [mm2]": table["area_mm2"].map("{:.0f}".format),
            "switch, at best [ms]": (table["switch_least_ps"] / 1e9).map("{:.1f}".format),
            "switch, at worst [ms]": (table["switch_most_ps"] / 1e9).map("{:.1f}".format),
            "switch [mJ]": (table["switch_pj"] / 1e9).map("{:.3f}".format),
        }
    )


if __name__ == "__main__":
    PAGE.write_text(refilled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
