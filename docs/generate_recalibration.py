"""Write the tables of three pages anew: ``python docs/generate_recalibration.py``.

They come from results under reports/recalibration, decoder and sensitivity; nothing is measured.
"""

from pathlib import Path

import pandas as pd

import hybridsim
from hybridsim.boundary.reading import read_own_json
from hybridsim.report.markdown import markdown_table, refilled

DOCS = Path(__file__).parent
REPORTS = DOCS.parent / "reports"
TASKS = ("movie", "amazon")
BOUNDS = (("given: 12", "movie"), ("calibrated", "movie_calibrated"))


def pages() -> dict[str, str]:
    """Return name of a page -> its text with tables of today."""
    parts = {
        "adaptation_recalibration.md": {
            **{f"gains_{task}": markdown_table(gains(task)) for task in TASKS},
            **{f"retraining_{task}": markdown_table(retraining(task)) for task in TASKS},
            **{f"schedules_{task}": markdown_table(schedules(task)) for task in TASKS},
            "event": markdown_table(event()),
        },
        "adaptation_decoder.md": {
            "perplexity": markdown_table(perplexity()),
            "lessons": markdown_table(lessons()),
            "side_path": markdown_table(side_path()),
            "rewards": markdown_table(rewards("decoder_rewards", "right answers [%]")),
            "reinforcing": markdown_table(reinforcing("decoder_rewards")),
            "gym_rewards": markdown_table(rewards("decoder_gym", "reward [%]")),
            "gym_reinforcing": markdown_table(reinforcing("decoder_gym")),
            "on_a_gpu": markdown_table(on_a_gpu()),
        },
        "adaptation_sensitivity.md": {
            "conditions": markdown_table(conditions()),
            "layers": markdown_table(layers()),
        },
    }
    return {
        name: refilled((DOCS / name).read_text(encoding="utf-8"), own)
        for name, own in parts.items()
    }


def gains(task: str) -> pd.DataFrame:
    """Return, by time: flips untouched, freshly corrected, and corrected at the start."""
    table = pd.read_csv(REPORTS / f"recalibration/results/{task}/recalibration.csv")
    rows = []
    for time, group in table.groupby("time", sort=False):
        by_event = group.set_index("corrected_at")
        never = by_event.loc["never"]
        fresh = by_event.iloc[-1]
        row = {
            "time": time,
            "flips, nothing done [%]": _cell(never, "flips"),
            "last corrected": fresh.name,
            "flips [%]": _cell(fresh, "flips"),
            "fewer flips": f"{fresh['fewer_flips']:+.1f} [{fresh['fewer_low']:+.1f}, "
            f"{fresh['fewer_high']:+.1f}]",
            "KL": f"{never['kl']:.4f} -> {fresh['kl']:.4f}",
            "accuracy [%]": f"{never['accuracy_percent']:.1f} -> {fresh['accuracy_percent']:.1f}",
        }
        if "0s" in by_event.index and time != "0s":
            old = by_event.loc["0s"]
            row["flips, corrected at 0 s only [%]"] = f"{old['flips_percent']:.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(row: "pd.Series[float]", name: str) -> str:
    return f"{row[f'{name}_percent']:.1f} [{row[f'{name}_low']:.1f}, {row[f'{name}_high']:.1f}]"


def retraining(task: str) -> pd.DataFrame:
    """Return, by time: trained on for as long as a correction takes, beside both others."""
    table = pd.read_csv(REPORTS / f"recalibration/results/{task}/retraining.csv")
    table["fewer_than_corrected"] = table["fewer_flips"]
    three = ("nothing_{}", "{}", "corrected_{}")
    return pd.DataFrame(
        {
            "time": table["time"],
            "chips": table["chips"],
            "flips: nothing done, trained on, corrected [%]": _side_by_side(
                table, [each.format("flips_percent") for each in three], ".1f"
            ),
            "trained on: fewer than nothing done": _fewer(table, "than_nothing"),
            "fewer than corrected": _fewer(table, "than_corrected"),
            "KL": _side_by_side(table, [each.format("kl") for each in three], ".4f"),
            "accuracy [%]": _side_by_side(
                table, [each.format("accuracy_percent") for each in three], ".1f"
            ),
        }
    )


def _side_by_side(table: pd.DataFrame, columns: list[str], form: str) -> list[str]:
    """Return the numbers of some columns, one cell a row."""
    return [", ".join(format(row[c], form) for c in columns) for _, row in table.iterrows()]


def _fewer(table: pd.DataFrame, name: str) -> list[str]:
    """Return how many fewer answers flipped [points], with the ends of the interval."""
    ends = "fewer" if name == "than_corrected" else f"fewer_{name}"
    columns = (table[f"fewer_{name}"], table[f"{ends}_low"], table[f"{ends}_high"])
    return [f"{m:+.1f} [{low:+.1f}, {high:+.1f}]" for m, low, high in zip(*columns, strict=True)]


def schedules(task: str) -> pd.DataFrame:
    """Return maintenance schedules over ten years: accuracy, flips, and what they cost."""
    table = pd.read_csv(REPORTS / f"recalibration/results/{task}/maintenance.csv")
    return pd.DataFrame(
        {
            "schedule": table["schedule"],
            "accuracy, mean of ten years [%]": table["accuracy_mean"].map("{:.1f}".format),
            "at the end [%]": table["accuracy_end"].map("{:.1f}".format),
            "flips, mean [%]": table["flips_mean"].map("{:.1f}".format),
            "flips, at the end [%]": table["flips_end"].map("{:.1f}".format),
            "time a year [s]": table["year_most_s"].map("{:.2f}".format),
            "energy a year [mJ]": (1000 * table["year_j"]).map("{:.1f}".format),
            "a sentence [us]": table["sentence_us"].map("{:.0f}".format),
            "a sentence [uJ]": table["sentence_uj"].map("{:.1f}".format),
        }
    )


def event() -> pd.DataFrame:
    """Return what one event takes on the machine, by task."""
    rows = []
    for task in TASKS:
        folder = REPORTS / f"recalibration/results/{task}"
        row = pd.read_csv(folder / "maintenance.csv").iloc[0]
        rows.append(
            {
                "task": task,
                "tiles [ms]": f"{1000 * row['event_tiles_s']:.1f}",
                "cluster [s]": f"{row['event_cluster_s']:.2f}",
                "event [s]": f"{row['event_least_s']:.2f} to {row['event_most_s']:.2f}",
                "energy [mJ]": f"{1000 * row['event_j']:.1f}",
                "over the link [MB]": f"{row['event_link_mb']:.0f}",
                "as much energy as sentences": f"{1e6 * row['event_j'] / row['sentence_uj']:.0f}",
            }
        )
    return pd.DataFrame(rows)


def perplexity() -> pd.DataFrame:
    """Return what a pretrained decoder makes of text, by tiles, adapter and time."""
    table = pd.read_csv(REPORTS / "decoder/results/perplexity.csv")
    return pd.DataFrame(
        {
            "tiles": table["tiles"].str.replace("_", " "),
            "adapter": table["adapter"].str.replace("_", " "),
            "time": table["time"],
            "corrected": table["corrected"].map({True: "yes", False: "no"}),
            "perplexity": _ends(table, "perplexity", "perplexity"),
            "times digital": _ends(table, "times_digital", "times"),
            "next token right [%]": table["accuracy_percent"].map("{:.1f}".format),
        }
    )


def _ends(table: pd.DataFrame, name: str, ends: str) -> list[str]:
    """Return numbers with the ends of their intervals."""
    columns = (table[name], table[f"{ends}_low"], table[f"{ends}_high"])
    return [f"{m:.4g} [{low:.4g}, {high:.4g}]" for m, low, high in zip(*columns, strict=True)]


def lessons() -> pd.DataFrame:
    """Return what training the adapters of a pretrained decoder took."""
    rows = []
    for name in ("digital_lora", "ahwa_lora"):
        told = read_own_json(REPORTS / f"decoder/results/adapters/{name}/training.json")
        how = told["adapter"]
        rows.append(
            {
                "adapter": name.replace("_", " "),
                "learns on": (how["tiles"] or "digital").replace("_", " "),
                "steps": how["steps"],
                "parameters": f"{told['parameters']:,}",
                "loss, first 20 steps": f"{told['first_loss']:.2f}",
                "loss, last 20": f"{told['last_loss']:.2f}",
                "processor time a step [s]": f"{told['cpu_seconds_per_step']:.2f}",
                "most memory so far [GB]": f"{told['peak_memory_bytes'] / 1e9:.1f}",
            }
        )
    return pd.DataFrame(rows)


def side_path() -> pd.DataFrame:
    """Return what side paths take, by kind of layers, in loops and with indirection streams."""
    table = pd.read_csv(REPORTS / "decoder/results/side_path.csv")
    added = zip(table["added_least_us"], table["added_most_us"], strict=True)
    return pd.DataFrame(
        {
            "layers": table["layers"],
            "computed by": table["streams"].map({True: "streams", False: "loops"}),
            "kept digital [%]": table["kept_percent"].map("{:.2f}".format),
            "cores [us]": table["cores_us"].map("{:.0f}".format),
            "weights fetched [us]": table["moved_us"].map("{:.0f}".format),
            "tiles [us]": table["tiles_us"].map("{:.0f}".format),
            "added [us]": [f"{low:.0f} to {high:.0f}" for low, high in added],
            "energy [uJ]": (table["energy_nj"] / 1000).map("{:.0f}".format),
            "tiles [uJ]": (table["tiles_nj"] / 1000).map("{:.0f}".format),
        }
    )


def rewards(study: str, told: str) -> pd.DataFrame:
    """Return what answers of a pretrained decoder are worth, before and after it learned from
    rewards; ``told`` is what the column is called."""
    table = pd.read_csv(REPORTS / study / "results/rewards.csv")
    ends = zip(table["reward_percent"], table["low"], table["high"], strict=True)
    shown = {
        "adapter": table["adapter"],
        "time": table["time"],
        told: [f"{m:.1f} [{low:.1f}, {high:.1f}]" for m, low, high in ends],
        "chips": table["chips"],
        "questions": table["questions"],
    }
    if "gain_points" in table:
        gains = zip(table["gain_points"], table["gain_low"], table["gain_high"], strict=True)
        shown["more than without [points]"] = [
            "" if pd.isna(m) else f"{m:+.1f} [{low:+.1f}, {high:+.1f}]" for m, low, high in gains
        ]
    return pd.DataFrame(shown)


def reinforcing(study: str) -> pd.DataFrame:
    """Return what learning from rewards took; no rows before it has ended."""
    file = REPORTS / study / "results/training.csv"
    told = pd.read_csv(file).to_dict("records") if file.exists() else []
    columns = (
        "adapter", "steps", "parameters", "sampled reward, first 10 steps", "last 10",
        "processor time a step [s]", "most memory [GB]",
    )  # fmt: skip
    rows = [
        (
            row["adapter"], row["steps"], f"{row['parameters']:,}", f"{row['first_reward']:.3f}",
            f"{row['last_reward']:.3f}", f"{row['cpu_seconds_per_step']:.1f}",
            f"{row['peak_memory_bytes'] / 1e9:.1f}",
        )
        for row in told
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def on_a_gpu() -> pd.DataFrame:
    """Return what the same would take of larger decoders on a GPU: projected, nothing was run.

    Arithmetic alone: a step on N weights takes what was measured of SmolLM2, times N over its
    weights, times what a core does in a second over what a GPU does. A LoRA step is 4 N operations
    a token: forward, and gradients of inputs; frozen weights have none.
    """
    ours, tokens = 134_515_008, 128  # SmolLM2's weights; tokens of a step
    digital, tiles = (
        read_own_json(REPORTS / f"decoder/results/adapters/{name}/training.json")
        for name in ("digital_lora", "ahwa_lora")
    )
    step = digital["cpu_seconds_per_step"]
    slower = tiles["cpu_seconds_per_step"] / step
    core = 4 * ours * tokens / step
    gpu = 989e12 * 0.3  # dense bf16 of an H200, NVIDIA's data sheet; the share of it is assumed
    grpo = pd.read_csv(REPORTS / "decoder_rewards/results/training.csv").iloc[0]
    rows = []
    for name, network in (
        ("Llama 3.2 1B", "llama_3_2_1b_lm"),
        ("Llama 3.1 8B", "llama_3_1_8b_lm"),
    ):
        weights = hybridsim.load(network, "llm_2026")[0].parameters
        of_digital = 1000 * 4 * weights * 1024 / gpu
        reinforced = grpo["steps"] * grpo["cpu_seconds_per_step"] * weights / ours * core / gpu
        rows.append(
            {
                "decoder": name,
                "weights [M]": f"{weights / 1e6:,.0f}",
                "1,000 steps of 1,024 tokens, digital [min]": f"{of_digital / 60:.1f}",
                "on tiles [min]": f"{slower * of_digital / 60:.1f}",
                "40 steps of rewards as above [s]": f"{reinforced:.1f}",
                "weights and their noisy copy, bf16 [GB]": f"{4 * weights / 1e9:.1f}",
            }
        )
    return pd.DataFrame(rows)


def _document(name: str) -> dict[str, object]:
    found: dict[str, object] = read_own_json(
        REPORTS / f"sensitivity/results/{name}/sensitivity.json"
    )
    return found


def conditions() -> pd.DataFrame:
    """Return, by converter bits and bound: all layers on tiles, and how wrong predictions were."""
    rows = []
    for bound, name in BOUNDS:
        for each in _document(name)["conditions"]:  # type: ignore[attr-defined]
            whole = each["all_on_tiles"]
            rows.append(
                {
                    "ADC bits": each["adc_bits"],
                    "bound": bound,
                    "KL": f"{whole['kl']:.4f}",
                    "KL of the pass": f"{whole['kl_of_the_pass']:.4f}",
                    "flips [%]": f"{whole['flips_percent']:.1f}",
                    "accuracy lost [points]": f"{whole['drop_points']:.1f}",
                    "flips predicted within [%]": f"{each['error_flips']:.2f}",
                    "accuracy predicted within [points]": f"{each['error_points']:.2f}",
                }
            )
    return pd.DataFrame(rows).sort_values("ADC bits", ascending=False, kind="stable")


def layers(most: int = 10) -> pd.DataFrame:
    """Return the layers that cost most at 8 bits and the given bound."""
    table = pd.read_csv(REPORTS / "sensitivity/results/movie/layers.csv")
    first = table[table["adc_bits"] == 8].sort_values("kl", ascending=False)
    shown = first.head(most)
    share = shown["share_percent"].cumsum()
    weights = 100 * shown["weights"].cumsum() / first["weights"].sum()
    return pd.DataFrame(
        {
            "layer": shown["layer"],
            "KL": shown["kl"].map("{:.5f}".format),
            "share [%]": shown["share_percent"].map("{:.1f}".format),
            "so far [%]": share.map("{:.0f}".format),
            "of the weights [%]": weights.map("{:.0f}".format),
        }
    )


if __name__ == "__main__":
    for page, text in pages().items():
        (DOCS / page).write_text(text, encoding="utf-8")
