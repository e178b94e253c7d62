"""Compile what is shipped: ``python -m hybridsim.machine_code.ship``, after a source has changed.

The functions are those that a run of a bundled network and of a single layer calls, for what they
are called with there. Numba compiles them for a processor of no particular kind; what is written
is LLVM's own language, optimised, with the one function that is called from outside and nothing
that it does not need. ``tests/machine_code`` says when it has to be done again.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hybridsim.machine_code._shipped import CODE, kind_text
from hybridsim.machine_code.functions import (
    EXAMPLES,
    MARKED,
    RECORDING,
    CompiledOnCall,
    kinds_of,
)

RUNS = (("mobilebert", "ahwa_lora_2026"), ("bert_base", "harp_2026:bert_base"))
"""Networks and machines whose runs call all functions that are shipped, with :data:`OTHER`."""
OTHER = {"cluster.matrix_engine.array_width": 4}
"""An array whose waits do not come with the package, so that they are replayed."""


def called() -> dict[str, tuple[Any, ...]]:
    """Return what each function that allocates nothing is called with in some runs."""
    import hybridsim
    from hybridsim.certainty import with_interval
    from hybridsim.simulation import execute

    RECORDING.append(True)
    hybridsim.simulate(*hybridsim.load(*RUNS[0], OTHER))
    for network, machine in RUNS:
        loaded = hybridsim.load(network, machine)
        with_interval(execute(*loaded))
        hybridsim.simulate(*loaded, hybridsim.Auto(), tokens=32)
        hybridsim.simulate(*loaded, hybridsim.CrossBlockPipeline(batch=8), tokens=32)
    return {
        name: args
        for name, args in sorted(EXAMPLES.items())
        if not MARKED[name].allocates and bool not in kinds_of(args)
    }


def code_of(function: CompiledOnCall, args: tuple[Any, ...]) -> tuple[str, str, bool]:
    """Return LLVM's text of a function, the symbol of what is called, and if it returns a number.

    Raises:
        ValueError: The code calls something outside, which is not there without Numba.
    """
    import llvmlite.binding as llvm
    from numba import types

    given = [*map(_type_of, args)]
    dispatcher: Any = function.by_numba
    dispatcher.compile(tuple(given))
    compiled = dispatcher.overloads[tuple(given)]
    inner = compiled.fndesc.llvm_func_name
    symbol = "hybridsim_" + function.name.partition(":")[2].lstrip("_")
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    for value in (*module.functions, *module.global_variables):
        if value.name != inner and not value.is_declaration:
            value.linkage = "internal"
    module.get_function(inner).linkage = "external"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    llvm.initialize_native_target()
    machine = llvm.Target.from_default_triple().create_target_machine()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    for value in (*module.functions, *module.global_variables):
        if value.is_declaration and not value.name.startswith("llvm."):
            raise ValueError(f"{function.name} needs {value.name}")
    text = re.sub(r"^(target|source_filename) .*\n", "", str(module), flags=re.MULTILINE)
    return text.replace(inner, symbol), symbol, compiled.signature.return_type != types.none


def _type_of(arg: Any) -> Any:
    """Return Numba's type of an argument; arrays may be written to, whatever the example says."""
    import numba
    from numba import types as untyped

    types: Any = untyped
    if isinstance(arg, tuple):
        return types.NamedTuple([*map(_type_of, arg)], type(arg))
    if isinstance(arg, np.ndarray):
        return types.Array(numba.from_dtype(arg.dtype), arg.ndim, "C")
    return types.int64


def main() -> None:
    """Write the folder of shipped code."""
    if os.environ.get("NUMBA_CPU_NAME") != "generic":
        with tempfile.TemporaryDirectory() as folder:  # code that was kept cannot be read
            own = {
                "NUMBA_CPU_NAME": "generic",
                "NUMBA_CPU_FEATURES": "",
                "NUMBA_CACHE_DIR": folder,
            }
            command = [sys.executable, "-m", "hybridsim.machine_code.ship"]
            sys.exit(subprocess.run(command, env=os.environ | own).returncode)
    from llvmlite.binding import llvm_version_info

    index = {}
    files: dict[Path, bytes] = {}
    for name, args in called().items():
        text, symbol, returns = code_of(MARKED[name], args)
        files[CODE / f"{symbol}.ll.gz"] = gzip.compress(text.encode(), mtime=0)
        index[name] = {
            "state": MARKED[name].state,
            "kinds": [*map(kind_text, kinds_of(args))],
            "returns": returns,
            "symbol": symbol,
        }
    CODE.mkdir(exist_ok=True)
    for old in CODE.glob("*.ll.gz"):
        old.unlink()
    for path, content in files.items():
        path.write_bytes(content)
    whole = {"llvm": llvm_version_info[0], "functions": index}
    (CODE / "index.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
