"""``hybridsim doctor`` and ``hybridsim warm-up``: what runs here, and what it compiled."""

import locale
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

import hybridsim
from hybridsim._version import __version__
from hybridsim.caches import cache_folder
from hybridsim.cli._options import Json, Quiet
from hybridsim.cli._terminal import ends_cleanly, print_json
from hybridsim.machine_code import shipped

_LIBRARIES = (
    "numpy", "numba", "llvmlite", "simpy", "pandas", "matplotlib", "pydantic", "pyyaml", "jinja2",
    "typer", "rich",
)  # fmt: skip
_EXTRAS = (
    "onnx", "pyarrow", "filelock", "distributed", "optuna", "safetensors", "tokenizers", "torch",
)  # fmt: skip


@ends_cleanly
def doctor(json_: Json = False) -> None:
    """Versions, machine, folders and caches of this installation; issues need them."""
    found = diagnosis()
    if json_:
        print_json(found)
        return
    for group, facts in found.items():
        typer.echo(group)
        for name, value in facts.items():
            typer.echo(f"  {name:<12s}{_text(value)}")


def diagnosis() -> dict[str, dict[str, Any]]:
    """Return what an issue needs to know: group -> name -> value. Names no home and no user."""
    folder = cache_folder()
    return {
        "program": {
            "hybridsim": __version__,
            "lies in": _without_home(Path(hybridsim.__file__).parent),
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        },
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "encoding": f"{sys.stdout.encoding}, {locale.getpreferredencoding(False)} for files",
        },
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "extras": {name: _version(name) for name in _EXTRAS},
        "machine code": {
            "shipped": f"{len(shipped())} functions"
            if shipped()
            else "none is taken on this system",
            "kept in": "nothing can be written: compiled anew by each run"
            if folder is None
            else _without_home(folder),
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _without_home(path: Path) -> str:
    home, text = os.path.expanduser("~"), str(path)
    return "~" + text.removeprefix(home) if len(home) > 1 and text.startswith(home) else text


def _text(value: Any) -> str:
    return "not installed" if value is None else str(value)


@ends_cleanly
def warm_up(json_: Json = False, quiet: Quiet = False) -> None:
    """Run a little of everything that is compiled by Numba, which keeps it for later runs."""
    from hybridsim.simulation import load, simulate
    from hybridsim.sweeps import sweep
    from hybridsim.sweeps.study import Study

    simulate(*load("layer_128x128", "ahwa_lora_2026"), tokens=8, check_numerics=True)
    axes = {"tile.integration_time": [f"{ns} ns" for ns in range(128, 228)]}
    study = {
        "name": "warm-up",
        "machine": "ahwa_lora_2026",
        "network": "layer_128x128",
        "objectives": {"latency_ps": "minimise"},
    }
    for kind in ("token_parallel", "cross_layer"):
        given = {"tokens": 16, "strategy": {"kind": kind}, "axes": axes}
        sweep(Study.model_validate(study | given))
    wide = {"cluster.dma.bytes_per_cycle": [f"{size} B/cycle" for size in (8, 16, 32, 64)]}
    network = {"machine": "harp_2026", "network": "minilm_l6", "tokens": 16, "axes": wide}
    given = {"strategy": {"kind": "xb_pipe", "batch": 8}}
    sweep(Study.model_validate(study | network | given))
    folder = cache_folder()
    if json_:
        print_json({"kept_in": None if folder is None else str(folder)})
    elif not quiet:
        kept = "kept for later runs" if folder else "kept nowhere, as nothing can be written"
        typer.echo(f"compiled, and {kept}")
