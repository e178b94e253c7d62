"""The paper's latency study: integration time x layer shape x batch, with its published anchors.

Source: Li, Ferro, Lammie, Le Gallo, Boybat, Rajendran, "Efficient transformer adaptation for
analog in-memory computing via low-rank adapters", Neuromorphic Computing and Engineering 6(1)
014011 (2026), Fig. 4. Its full text was not at hand: the anchors are from summaries of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from hybridsim.arch import load_machine
from hybridsim.errors import CapacityError
from hybridsim.library import network_path
from hybridsim.schedulers import TokenParallel
from hybridsim.simulate import simulate
from hybridsim.units import format_ps
from hybridsim.workload import load_network

MACHINE = "ahwa_lora_2026"
SHAPES = ("layer_128x128", "layer_512x128")
INTEGRATION_TIMES = ("128 ns", "256 ns", "512 ns")
BATCHES = (8, 16, 32, 64, 128)
SEQUENCE_LENGTHS = (128, 320)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published figure of the study."""

    name: str
    network: str
    integration_time: str | None
    """None where the publication does not say."""
    overhead_percent: float
    source: str


ANCHORS = (
    Anchor("best case", "layer_128x128", None, 4.0, "Fig. 4c: 4 % in the best case"),
    Anchor("worst case", "layer_512x128", "128 ns", 172.0, "Fig. 4c: up to 2.72x at 128 ns"),
)
"""2.72x the all-analog latency is an overhead of 172 %."""


def latency_study(units: Iterable[str] = ("matrix_engine",)) -> pd.DataFrame:
    """Return one row per case of the study.

    Columns: network, integration_time, sequence_length, batch, unit, latency_ps, all_analog_ps,
    overhead_percent, ratio, tcdm_bytes, buffers, bound; ``problem`` says that a batch does not fit.
    """
    rows = []
    for shape in SHAPES:
        network = load_network(network_path(shape))
        for time in INTEGRATION_TIMES:
            machine = load_machine(MACHINE, {"tile.integration_time": time})
            for tokens in SEQUENCE_LENGTHS:
                for unit in units:
                    for batch in BATCHES:
                        case = {
                            "network": shape,
                            "integration_time": time,
                            "sequence_length": tokens,
                            "unit": unit,
                            "batch": batch,
                        }
                        strategy = TokenParallel(batch=batch, unit=unit)
                        try:
                            layer = simulate(network, machine, strategy, tokens).layers[0]
                        except CapacityError:
                            rows.append(case | {"problem": "does not fit the TCDM"})
                            continue
                        rows.append(
                            case
                            | {
                                "latency_ps": layer.latency_ps,
                                "all_analog_ps": layer.all_analog_ps,
                                "overhead_percent": layer.overhead_percent,
                                "ratio": layer.latency_ps / layer.all_analog_ps,
                                "tcdm_bytes": layer.tcdm_bytes,
                                "buffers": layer.buffers,
                                "bound": layer.bound,
                                "problem": "",
                            }
                        )
    return pd.DataFrame(rows)


def best_batches(study: pd.DataFrame) -> pd.DataFrame:
    """Return, of each shape, integration time, length and unit, the batch with least latency."""
    fits = study.dropna(subset=["latency_ps"])
    keys = ["network", "integration_time", "sequence_length", "unit"]
    return fits.loc[fits.groupby(keys, sort=False)["latency_ps"].idxmin()].reset_index(drop=True)


def anchors_table(study: pd.DataFrame) -> pd.DataFrame:
    """Return each published anchor beside the nearest thing that the study shows.

    The best case is the least overhead of its shape; the worst case the overhead of the best
    batch at the published integration time, for the sequence length of 128.
    """
    best = best_batches(study)
    rows = []
    for anchor in ANCHORS:
        own = best[(best["network"] == anchor.network) & (best["sequence_length"] == 128)]
        if anchor.integration_time is not None:
            own = own[own["integration_time"] == anchor.integration_time]
        case = own.sort_values("overhead_percent").iloc[0]
        rows.append(
            {
                "anchor": anchor.name,
                "source": anchor.source,
                "network": anchor.network,
                "published_percent": anchor.overhead_percent,
                "simulated_percent": float(case["overhead_percent"]),
                "integration_time": case["integration_time"],
                "batch": int(case["batch"]),
                "unit": case["unit"],
                "latency": format_ps(int(case["latency_ps"])),
            }
        )
    return pd.DataFrame(rows)
