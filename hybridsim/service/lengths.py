"""Requests that are longer than a model allows: refused with file and line, left out, or cut."""

from array import array
from dataclasses import dataclass
from typing import Literal

from hybridsim.errors import InputError
from hybridsim.service.requests import Requests
from hybridsim.workload import Network

TooLong = Literal["refuse", "skip", "cut"]
TOO_LONG: tuple[TooLong, ...] = ("refuse", "skip", "cut")


@dataclass(frozen=True, slots=True)
class Fitted:
    """Requests that a network can serve, and what became of the others."""

    requests: Requests
    left_out: int = 0
    """Requests that are not there any more."""
    cut: int = 0
    """Requests whose prompt, and maybe output, was cut."""


def fitted(requests: Requests, network: Network, how: TooLong = "refuse") -> Fitted:
    """Return the requests that a network can serve.

    What counts is prompt and output together against ``network.max_sequence_length``. To ``cut``
    is to leave the end of the prompt out, and of the output only what exceeds the network beside a
    prompt of one token.

    Raises:
        InputError: One is too long and none may be left out or cut; or none would be left.
    """
    most = network.max_sequence_length
    if most is None:
        return Fitted(requests)
    lengths = zip(requests.prompt, requests.output, strict=True)
    long = [i for i, (prompt, output) in enumerate(lengths) if prompt + output > most]
    if not long:
        return Fitted(requests)
    if how == "refuse":
        raise InputError(_too_long(requests, network, most, long))
    if how == "skip":
        gone = set(long)
        kept = [i for i in range(len(requests)) if i not in gone]
        if not kept:
            raise InputError(f"{_too_long(requests, network, most, long)}; none would be left")
        return Fitted(requests.only(kept), left_out=len(long))
    return Fitted(_cut(requests, most, long), cut=len(long))


def _cut(requests: Requests, most: int, long: list[int]) -> Requests:
    found = requests.only(range(len(requests)))
    for i in long:
        found.output[i] = min(found.output[i], most - 1)
        found.prompt[i] = most - found.output[i]
        if found.blocks is not None:
            found.blocks[i] = array("q", found.blocks[i][: found.prompt[i] // found.block])
    return found


def _too_long(requests: Requests, network: Network, most: int, long: list[int]) -> str:
    """Return what is wrong with the first request that is too long, and with how many others."""
    first, origin = long[0], requests.origin
    where = f"request {first}" if origin is None else f"{origin.file}: line {origin.lines[first]}"
    prompt, output = requests.prompt[first], requests.output[first]
    others = len(long) - 1
    more = f"; {others} more of {len(requests)} requests are too long as well" if others else ""
    return (
        f"{where}: {prompt} tokens of prompt and {output} to generate are {prompt + output}; "
        f"{network.name} allows {most}{more}; --too-long skip leaves such requests out, "
        "--too-long cut shortens their prompts"
    )
