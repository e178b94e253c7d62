"""Code that comes with the package: LLVM's own language, made machine code for this processor.

:mod:`.ship` compiled it with Numba for no processor in particular. Here LLVM, without Numba, turns
it into code of this one, which takes some hundredths of a second and is kept. It is only taken
while the sources are those that it was compiled from; on systems where nobody has tried it Numba
compiles, as for all other functions.
"""

import ctypes
import gzip
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hybridsim.caches import Kept

CODE = Path(__file__).parent / "code"
"""The folder of the shipped code: ``index.json`` and a file per function."""
TRIED = {"linux", "darwin"}
"""Systems on which shipped code is taken."""


def native(name: str, state: str, kinds: tuple[Any, ...]) -> Callable[..., Any] | None:
    """Return shipped code of a function for what it is called with; None if there is none.

    ``name`` is ``module:name``, and ``state`` that of the sources.
    """
    known = _functions().get(name)
    if known is None or known["state"] != state or known["kinds"] != [*map(kind_text, kinds)]:
        return None
    try:
        address = _address(known["symbol"]) if is_read() else None
    except (OSError, RuntimeError):  # a release of LLVM that reads it no more
        return None
    if address is None:
        return None
    return _caller(address, known["returns"])


def shipped() -> list[str]:
    """Return the functions whose code is shipped for systems such as this one."""
    return [*_functions()]


def is_read() -> bool:
    """Return whether the LLVM that is installed is as new as that of the shipped code."""
    import llvmlite.binding as llvm

    return int(llvm.llvm_version_info[0]) >= int(_index().get("llvm", 0))


def _functions() -> dict[str, Any]:
    found: dict[str, Any] = _index().get("functions", {})
    return found


def kind_text(kind: Any) -> str:
    """Return what an argument is, as text."""
    if isinstance(kind, tuple) and isinstance(kind[0], str):
        return f"{kind[0]}({', '.join(map(kind_text, kind[1:]))})"
    if isinstance(kind, tuple):
        dtype, dimensions = kind
        text = dtype.str if dtype.names is None else str(dtype.descr)
        return f"{text}:{dimensions}"
    return str(kind.__name__)


@cache
def _index() -> dict[str, Any]:
    """Return the release of LLVM, and of each function what it is called with and returns."""
    little = sys.byteorder == "little" and sys.maxsize > 2**32
    if not little or sys.platform not in TRIED or os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return {}
    try:
        found: dict[str, Any] = json.loads((CODE / "index.json").read_bytes())  # noqa: TID251
    except OSError:
        return {}
    return found


@cache
def _llvm() -> tuple[Any, Any]:
    """Return LLVM, ready, and this machine as a target of it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return llvm, target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="static" if platform.machine() == "x86_64" else "default",
        jit=True,
    )


@cache
def _engine() -> Any:
    """Return what holds machine code, as long as the process lives."""
    llvm, machine = _llvm()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


@cache
def _maker() -> str:
    """Return all that machine code depends on beside what it is made from."""
    llvm, machine = _llvm()
    key = f"{llvm.llvm_version_info} {machine.triple} {llvm.get_host_cpu_name()} "
    return key + str(llvm.get_host_cpu_features().flatten())


def _address(symbol: str) -> int:
    """Return where the machine code of a shipped function lies, made if it is not kept."""
    llvm, _ = _llvm()
    packed = (CODE / f"{symbol}.ll.gz").read_bytes()
    kept = Kept(f"{hashlib.sha256(_maker().encode() + packed).hexdigest()[:32]}.code")
    code = kept.or_made(lambda: _made(packed))
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(symbol))


def _made(packed: bytes) -> bytes:
    """Return the machine code of LLVM's text as an object file.

    Raises:
        RuntimeError: LLVM does not read it.
    """
    llvm, machine = _llvm()
    module = llvm.parse_assembly(gzip.decompress(packed).decode())
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    code: bytes = machine.emit_object(module)
    return code


def _caller(address: int, returns: bool) -> Callable[..., Any]:
    """Return a function that calls machine code as Numba does.

    Numba passes where to put the answer and what went wrong, then each array as seven or more
    words: two for who holds it, its items, their size, where they are, its shape and strides.
    """
    calls: dict[int, Any] = {}

    def call(*args: Any) -> Any:
        words = _words(args)
        function = calls.get(len(words))
        if function is None:
            types = [ctypes.c_void_p, ctypes.c_void_p, *([ctypes.c_int64] * len(words))]
            function = calls[len(words)] = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)
        answer, problem = ctypes.c_int64(), ctypes.c_void_p()
        status = function(ctypes.byref(answer), ctypes.byref(problem), *words)
        if status not in (0, -2):  # -2 is None
            raise RuntimeError(f"machine code ended with status {status}")
        return answer.value if returns else None

    return call


def _words(args: Iterable[Any]) -> list[int]:
    """Return the words of which arguments are made; what is in a tuple is passed by itself."""
    words: list[int] = []
    for arg in args:
        if isinstance(arg, np.ndarray):
            data = arg.__array_interface__["data"][0]
            words += (0, 0, arg.size, arg.itemsize, data, *arg.shape, *arg.strides)
        elif isinstance(arg, tuple):
            words += _words(arg)
        else:
            words.append(int(arg))
    return words
