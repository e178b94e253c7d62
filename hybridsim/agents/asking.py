"""One question to the command line, in a process of its own: arguments in, JSON out."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hybridsim.boundary.reading import MOST_OWN_DIGITS, json_of
from hybridsim.errors import InputError
from hybridsim.outside import OWN_CODE, REFUSED

MOST_SECONDS = 600
"""What takes longer is ended."""
MOST_SETTINGS = 200
"""Settings of one question."""


async def ask(arguments: Sequence[str], seconds: float, own_code: bool) -> Any:
    """Return what ``hybridsim ARGUMENTS`` prints as JSON.

    ``own_code`` lets parts and strategies from files of Python run.

    Raises:
        InputError: The command refuses its input, or takes longer than ``seconds``.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hybridsim",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(own_code),
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise InputError(
            f"it took longer than {seconds:g} s and was ended; fewer points, strategies or tokens "
            "would do, or the command line"
        ) from None
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise InputError(_sentence(err.decode(errors="replace")))
    return json_of(out, "the answer", MOST_OWN_DIGITS)


def _environment(own_code: bool) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != OWN_CODE}
    return kept if own_code else kept | {OWN_CODE: REFUSED}


def _sentence(told: str) -> str:
    """Return what a command said when it refused, without the usage that goes before."""
    lines = [line.removeprefix("hybridsim: ") for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else "the command failed without a word"


def named(what: str, text: str) -> str:
    """Return a name or a path that cannot be taken for an option.

    Raises:
        InputError: It begins with a dash.
    """
    if text.startswith("-"):
        raise InputError(f"{what}: found {text[:40]!r}; a name or a file would do")
    return text


def options(
    strategy: str | None = None,
    tokens: int | None = None,
    past: int | None = None,
    settings: Mapping[str, str | int | float | bool] | None = None,
) -> list[str]:
    """Return the arguments that several commands share.

    Raises:
        InputError: A name begins with a dash, or there are too many settings.
    """
    found: list[str] = []
    if strategy is not None:
        found += ["--strategy", named("strategy", strategy)]
    if tokens is not None:
        found += ["--tokens", str(tokens)]
    if past:
        found += ["--past", str(past)]
    given = dict(settings or {})
    if len(given) > MOST_SETTINGS:
        raise InputError(f"settings: found {len(given)}; at most {MOST_SETTINGS} would do")
    for path, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        found += ["--set", f"{named('settings', path)}={text}"]
    return found
