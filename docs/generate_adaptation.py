"""Write the tables of docs/adaptation_study.md anew: ``python docs/generate_adaptation.py``.

They come from the results under reports/adapt_*; nothing is trained. Everything between the
markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

import hybridsim
from hybridsim.analog.times import in_order
from hybridsim.plan import Bools
from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.service import compare_alternatives
from hybridsim.training.files import EVALUATION, Lines, unpacked

PAGE = Path(__file__).parent / "adaptation_study.md"
REPORTS = Path(__file__).parents[1] / "reports"
FOLDERS = {"movie": "adapt_movie/results"} | {
    task: f"adapt_tasks/results/{task}" for task in ("tweets", "nyt", "amazon")
}
CLIPPED = {"movie": "adapt_movie/results_merged"} | {
    task: f"adapt_tasks/results_clip/{task}" for task in ("nyt", "amazon")
}
CONTROL = "digital_lora_averaged"
TASK_ARMS = (
    "digital_lora", CONTROL, "ahwa_lora_averaged", "mean_of_both", "merged", "undone",
)  # fmt: skip


def tables() -> dict[str, str]:
    """Return marker name -> Markdown table."""
    parts = {
        "headline": over_time("adapt_movie/results"),
        "headline_differences": differences("adapt_movie/results", ("10y",)),
        "headline_corrected": corrected(),
        "headline_fp16": as_on_cluster(),
        "clipping": clipping(),
        "clip": over_time("adapt_movie/results_clip"),
        "clip_differences": differences("adapt_movie/results_clip", ("10y",)),
        "merged": tasks(CLIPPED),
        "methods": over_time("adapt_methods/results"),
        "methods_differences": differences("adapt_methods/results", ("10y",)),
        "training": training(),
        "ranks": ranks(),
        "converters": over_time("adapt_readaptation/results/converters"),
        "converters_differences": differences("adapt_readaptation/results/converters"),
        "no_compensation": over_time("adapt_readaptation/results/no_compensation"),
        "no_compensation_differences": differences("adapt_readaptation/results/no_compensation"),
        "tasks": tasks(FOLDERS),
        "switches": switches(),
    }
    return {name: markdown_table(table) for name, table in parts.items()}


def clipping() -> pd.DataFrame:
    """Return what cutting weights costs layers, by ``hybridsim adapt STUDY --clipping --json``."""
    text = (REPORTS / "adapt_movie/clipping.json").read_text(encoding="utf-8")
    rows = json.loads(text)["clipping"]
    names = {"clipped": "alone", "left": "with adapter", "tiles": "tiles", "together": "together"}
    return pd.DataFrame([
        {"cut at": f"{row['clip_sigmas']:g} sigma" if row["clip_sigmas"] else "nowhere"}
        | {shown: f"{100 * row[name]:.2f}" for name, shown in names.items()}
        for row in rows
    ])  # fmt: skip


def over_time(results: str) -> pd.DataFrame:
    """Return arms by times: accuracy [%] and its 95 % interval."""
    table = pd.read_csv(REPORTS / results / "accuracy.csv")
    shown = pd.DataFrame({"arm": table["arm"], "time": table["time"], "cell": _cells(table)})
    wide = shown.pivot_table(index="arm", columns="time", values="cell", aggfunc="first")
    ordered = wide.loc[list(dict.fromkeys(table["arm"])), in_order(table["time"])]
    return ordered.reset_index().rename_axis(columns=None)


def differences(results: str, times: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return what every arm differs from its controls by [points], at some times or all."""
    table = pd.read_csv(REPORTS / results / "differences.csv")
    if times is not None:
        table = table[table["time"].isin(times)]
    return pd.DataFrame(
        {
            "arm": table["arm"],
            "time": table["time"],
            "against": table["against"],
            "points": _cells(table, "difference_points", "{:+.1f}"),
            "significant": table["significant"].map({True: "yes", False: "no"}),
        }
    )


def corrected() -> pd.DataFrame:
    """Return what a correction without labels gains on the headline's chips after ten years."""
    folder = REPORTS / "adapt_movie/corrected"
    found, differ = (pd.read_csv(folder / f"{n}.csv") for n in ("recalibration", "differences"))
    fewer = [
        "-"
        if row["corrected_at"] == "never"
        else "{fewer_flips:+.1f} [{fewer_low:+.1f}, {fewer_high:+.1f}]".format(**row)
        for row in found.to_dict("records")
    ]
    return pd.DataFrame(
        {
            "corrected": found["corrected_at"],
            "flips [%]": found["flips_percent"].round(1),
            "fewer flips [points]": fewer,
            "divergence": found["kl"].round(4),
            "accuracy [%]": found["accuracy_percent"].round(1),
            "against the control, digital": _cells(differ, "difference_points", "{:+.1f}"),
        }
    )


def as_on_cluster() -> pd.DataFrame:
    """Return what it changes that adapters are computed in fp16, answer by answer."""
    here, there = (_answers(f"adapt_movie/{name}") for name in ("fp16", "results"))
    rows = []
    for place in ("digital", "10y"):
        keys = [key for key in here if (key[1] < 0) == (place == "digital")]
        fp16, fp32 = (np.concatenate([each[key] for key in keys]) for each in (here, there))
        rows.append(
            {
                "time": place,
                "float32 [%]": f"{100 * fp32.mean():.2f}",
                "fp16 [%]": f"{100 * fp16.mean():.2f}",
                "right in float32 alone": int((fp32 & ~fp16).sum()),
                "right in fp16 alone": int((fp16 & ~fp32).sum()),
                "answers": f"{fp16.size:,}",
            }
        )
    return pd.DataFrame(rows)


def _answers(folder: str) -> dict[tuple[int, int], Bools]:
    """Return which answers of ``mean_of_both`` were right, by (seed, chip); chip -1 is digital."""
    lines = Lines(REPORTS / folder / "journal.jsonl").rows(EVALUATION)
    return {
        (row["seed"], row["chip"]): unpacked(row["correct"], row["sentences"])
        for _, row in lines
        if row["arm"] == "mean_of_both"
    }


def _cells(
    table: pd.DataFrame, column: str = "accuracy_percent", form: str = "{:.1f}"
) -> list[str]:
    rows = zip(table[column], table["ci95_low"], table["ci95_high"], strict=True)
    return [f"{form} [{form}, {form}]".format(*row) for row in rows]


def training() -> pd.DataFrame:
    """Return parameters, time per step and memory of the ways to train, from their first seed."""
    table = pd.read_csv(REPORTS / "adapt_methods/results/training.csv")
    first = table[table["seed"] == table["seed"].min()].set_index("arm")
    mean = table.groupby("arm")["cpu_seconds_per_step"].mean()
    arms = list(dict.fromkeys(pd.read_csv(REPORTS / "adapt_methods/results/accuracy.csv")["arm"]))
    return pd.DataFrame(
        {
            "arm": arms,
            "trained parameters": [f"{first.loc[arm, 'parameters']:,}" for arm in arms],
            "processor time per step [s]": [round(mean[arm], 2) for arm in arms],
            "memory [GB]": [round(first.loc[arm, "peak_memory_bytes"] / 1e9, 2) for arm in arms],
        }
    )


def ranks() -> pd.DataFrame:
    """Return accuracy by rank, smallest first, with the parameters that were trained."""
    table = pd.read_csv(REPORTS / "adapt_ranks/results/accuracy.csv")
    trained = pd.read_csv(REPORTS / "adapt_ranks/results/training.csv")
    parameters = trained.drop_duplicates("arm").set_index("arm")["parameters"]
    wide = over_time("adapt_ranks/results")
    wide.insert(1, "trained parameters", [f"{parameters[arm]:,}" for arm in wide["arm"]])
    wide = wide.assign(rank=wide["arm"].str.removeprefix("rank").astype(int)).sort_values("rank")
    ten = table[table["time"] == "10y"].set_index("arm")
    wide["deviation over seeds"] = [ten.loc[arm, "sd_seeds"].round(2) for arm in wide["arm"]]
    return wide[["rank", *(c for c in wide.columns if c not in ("arm", "rank"))]]


def tasks(folders: Mapping[str, str]) -> pd.DataFrame:
    """Return every task's adapters after ten years beside a control, of equal budget if it ran."""
    rows = []
    for task, folder in folders.items():
        accuracy = pd.read_csv(REPORTS / folder / "accuracy.csv").set_index(["arm", "time"])
        differ = pd.read_csv(REPORTS / folder / "differences.csv")
        differ["cell"] = _cells(differ, "difference_points", "{:+.1f}")
        cells = differ.set_index(["arm", "time", "against"])["cell"]
        control = CONTROL if (CONTROL, "digital") in accuracy.index else "digital_lora"
        for arm in TASK_ARMS:
            if (arm, "10y") not in accuracy.index:
                continue
            tested = accuracy.loc[(arm, "10y")]
            rows.append(
                {
                    "task": task,
                    "arm": arm,
                    "digital [%]": round(accuracy.loc[(arm, "digital"), "accuracy_percent"], 1),
                    "after 10 years [%]": round(tested["accuracy_percent"], 1),
                    "control": control,
                    "against it, digital": cells[(arm, "10y", f"{control}, digital")],
                    "on the same chips": cells.get((arm, "10y", f"{control}, same chips"), "-"),
                    "seeds, chips, sentences": ", ".join(
                        f"{int(tested[name]):,}" for name in ("seeds", "chips", "sentences")
                    ),
                }
            )
    return pd.DataFrame(rows)


def switches() -> pd.DataFrame:
    """Return what it costs to go from one of these tasks to another, by the timing simulator."""
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026:served")
    table = compare_alternatives(network, machine, (len(FOLDERS),), tokens=48).table
    return pd.DataFrame(
        {
            "way": table["way"].str.replace("_", " "),
            "parameters [M]": (table["parameters"] / 1e6).map("{:.1f}".format),
            "tiles": table["tiles"],
            "switch, at best [ms]": (table["switch_least_ps"] / 1e9).map("{:.1f}".format),
            "switch, at worst [ms]": (table["switch_most_ps"] / 1e9).map("{:.1f}".format),
            "switch [mJ]": (table["switch_pj"] / 1e9).map("{:.3f}".format),
        }
    )


if __name__ == "__main__":
    PAGE.write_text(refilled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
