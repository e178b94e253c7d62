"""Continuous batching of a decoder's requests on one machine: its passes, its memory, its sums."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from hybridsim.arch import Machine
from hybridsim.errors import InputError
from hybridsim.generation import MOST_SEQUENCES as LARGEST
from hybridsim.generation import GenerationTimes
from hybridsim.service.continuous import Memory, Served, serve_continuously
from hybridsim.service.passes import Interpolated, Passes, Simulated
from hybridsim.service.prefixes import Prefixes
from hybridsim.service.requests import Requests
from hybridsim.service.residency import Store
from hybridsim.service.result import Continuous, per_token_ms, spread
from hybridsim.simulation import MOST_TOKENS
from hybridsim.strategies import NetworkStrategy
from hybridsim.workload import Network

MOST_SEQUENCES = 32
"""Sequences that are at work at a time, unless told otherwise: one batch of the strategy's."""
CHUNK = 256
"""Prompt tokens of an iteration, unless told otherwise. Assumed: the least of those that
Sarathi-Serve (OSDI 2024) tries, as attention over a chunk is long on few clusters."""
FEW_PASSES = 1000
"""Traces of at most so many passes, were each sequence alone, have each of them simulated."""


class Decoders:
    """The networks of all tasks, one for those with equal adapters, and how long passes take."""

    def __init__(
        self,
        networks: Mapping[str, Network],
        machine: Machine,
        strategy: NetworkStrategy,
        requests: Requests,
        most: int,
        chunk: int,
        exact: bool | None,
    ) -> None:
        for name, value, largest in (("chunk", chunk, MOST_TOKENS), ("batch", most, LARGEST)):
            if not 1 <= value <= largest:
                raise InputError(
                    f"{name}: found {value}; write a whole number from 1 to {largest}"
                )
        self.requests, self.most, self.chunk = requests, most, chunk
        self.exact = _passes(requests, chunk) <= FEW_PASSES if exact is None else exact
        self._longest = max(
            prompt + max(0, output - 1)
            for prompt, output in zip(requests.prompt, requests.output, strict=True)
        )
        known: dict[Network, GenerationTimes] = {}
        for network in networks.values():
            if network not in known:
                known[network] = GenerationTimes(network, machine, strategy)
        self._times = {
            number: known[networks[requests.tasks[number]]]
            for number in dict.fromkeys(requests.task)
        }
        self._passes = {times: self._passes_of(times) for times in known.values()}
        self._check()

    def scratchpad_bytes(self) -> int:
        """Return the most that any op of the largest passes needs of a cluster's scratchpad."""
        chunk = min(self.chunk, max(self.requests.prompt))
        past = self._longest - chunk
        found = []
        for times in self._passes:
            found.append(times.scratchpad_bytes(chunk, past))
            for sequences in (1, self.most):
                context = times.longest(sequences, self._longest) - 1
                found.append(times.scratchpad_bytes(1, context, sequences))
        return max(found)

    def serve(
        self,
        store: Store,
        fetch_ps: Callable[[str], int],
        reuse: bool,
        watch: Callable[[int], None],
    ) -> Served:
        """Serve the requests, with what prompts have in common kept for others if told to."""
        times, requests = next(iter(self._passes)), self.requests
        kept_bytes = lru_cache(maxsize=2**16)(times.kept_bytes)
        prefixes = None
        if reuse and requests.block:
            block_bytes = kept_bytes(requests.block)
            prefixes = Prefixes(requests.block, block_bytes, times.room_bytes)
        return serve_continuously(
            requests,
            {number: self._passes[own] for number, own in self._times.items()},
            store,
            fetch_ps,
            Memory(kept_bytes, times.room_bytes),
            most=self.most,
            chunk=self.chunk,
            prefixes=prefixes,
            watch=watch,
        )

    def told(self, served: Served) -> dict[str, object]:
        """Return the fields of a result that only continuous batching has."""
        gaps, counts = served.gaps.all()
        simulated = sum(times.passes for times in self._passes)
        checked = [
            both
            for passes in self._passes.values()
            if isinstance(passes, Interpolated)
            for both in passes.checked()
        ]
        found, right = np.array(checked or [(0, 1)], np.float64).T
        return {
            "token_ms": per_token_ms(served.requests),
            "inter_token_ms": spread(gaps / 1e9, counts) if len(gaps) else None,
            "continuous": Continuous(
                chunk=self.chunk,
                sequences_mean=served.decoded / max(1, served.decode_passes),
                decode_passes=served.decode_passes,
                prompt_passes=served.prompt_passes,
                saved_by_one_pass=served.overlap_ps / served.busy_ps,
                reused_tokens=served.reused,
                simulated=simulated,
                exact=self.exact,
                checked=len(checked),
                error_percent=float(np.abs(found / right - 1).max() * 100) if checked else None,
                error_together_percent=float(found.sum() / right.sum() * 100 - 100)
                if checked
                else None,
            ),
        }

    def _passes_of(self, times: GenerationTimes) -> Passes:
        if self.exact:
            return Simulated(times)
        return Interpolated(times, self._longest, self.most, self.chunk)

    def _check(self) -> None:
        """Refuse what cannot be served before anything runs.

        Raises:
            CapacityError: Keys and values of a request fit nowhere.
            InputError: The network is no decoder, or too short for a request.
        """
        requests = self.requests
        lengths = set(zip(requests.prompt, requests.output, strict=True))
        for prompt, output in (max(lengths, key=sum), max(lengths), max(lengths, key=_output)):
            # what generates nothing needs no room for a token
            next(iter(self._passes)).check(max(1, prompt - (not output)), max(1, output))


def _output(lengths: tuple[int, int]) -> int:
    return lengths[1]


def _passes(requests: Requests, chunk: int) -> int:
    """Return the passes that requests would take one by one."""
    return sum(requests.output) + sum(-(-prompt // chunk) for prompt in requests.prompt)
