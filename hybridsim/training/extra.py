"""Whether what training needs is installed."""

from importlib.util import find_spec

from hybridsim.errors import InputError

NEEDED = ("torch", "safetensors", "tokenizers")
"""The packages of the extra ``adapt``."""


def require_extra() -> None:
    """Refuse to go on without the extra.

    Raises:
        InputError: A package is missing; the message names it and what installs it.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"adapt: {', '.join(missing)} not installed; pip install 'hybridsim[adapt]' would do"
        )
