"""Write the tables of docs/latency_study.md anew: ``python docs/generate_latency_study.py``.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from pathlib import Path

import pandas as pd

from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.validation.paper import (
    cycles_per_token,
    latency_study,
    layouts_of_y,
    plausible_machines,
)
from hybridsim.validation.paper_anchors import anchors_table, readings_table

PAGE = Path(__file__).parent / "latency_study.md"


def tables() -> dict[str, str]:
    """Return marker name -> Markdown table."""
    study, by_features = latency_study(), latency_study(x_layout="feature_major")
    readings, machines = readings_table(), plausible_machines()
    near = machines[
        machines["best_percent"].between(3.0, 5.0) & machines["worst_ratio"].between(2.45, 3.0)
    ]
    anchors, cycles = anchors_table(readings), cycles_per_token()
    return {
        "anchors": markdown_table(anchors.drop(columns=["source", "why"]).round(2)),
        "why": "\n".join(f"- **{row.anchor}**: {row.why}" for row in anchors.itertuples()),
        "readings": markdown_table(readings.round(2)),
        "every-batch": markdown_table(_every_batch(study)),
        "every-batch-by-features": markdown_table(_every_batch(by_features)),
        "machines": markdown_table(near.round(2)),
        "cycles-per-token": markdown_table(cycles[cycles["array"] == "4 x 8"].round(1)),
        "layouts-of-y": markdown_table(layouts_of_y().round(1)),
    }


def _every_batch(study: pd.DataFrame) -> pd.DataFrame:
    """Return the overhead [%] on the matrix engine, one column per batch."""
    engine = study[study["unit"] == "matrix_engine"].copy()
    engine["layer"] = engine["network"].str.removeprefix("layer_")
    keys = ["layer", "integration_time", "sequence_length"]
    table = engine.pivot_table("overhead_percent", keys, "batch", dropna=False).round(1)
    table.columns = [f"t = {batch}" for batch in table.columns]
    return table.dropna(how="all").reset_index()


if __name__ == "__main__":
    PAGE.write_text(refilled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
