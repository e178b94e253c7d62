"""Machine code of plain loops: shipped with the package, or compiled by Numba when first called.

Importing a function that is marked with :func:`machine_code` costs nothing. When it is called, the
code that comes with the package is taken if it is that of today's sources and fits what the
function is called with (:mod:`._shipped`); that needs no Numba, and no compiling to speak of.
Anything else Numba compiles (:mod:`.functions`), and keeps on disk where that can be written.
"""

from hybridsim.machine_code._shipped import shipped
from hybridsim.machine_code.functions import CompiledOnCall, keeping, machine_code

__all__ = ["CompiledOnCall", "keeping", "machine_code", "shipped"]
