"""Continuous batching: sequences join and leave between passes, prompts come in chunks.

The chip works in *iterations*. Before each, waiting requests are admitted in the order of their
arrival, as long as fewer than ``most`` sequences are at work and their keys and values, those of
the prompt and of all tokens to come, fit the memory. An iteration is of one task: those at work
take turns, and a task's adapters are fetched first if they are not there. It is

1. one pass that gives each sequence of the task that has its first token the next one, then
2. the pass or passes of a chunk: up to ``chunk`` prompt tokens of the sequences that have no token
   yet, first come first served; chunks alike run together. A prompt's last chunk gives its first
   token.

So no prompt holds others up for longer than a chunk takes. Passes follow each other: what could be
saved by one pass of both kinds is not (the tiles hold all weights, so that a pass brings none).
Source of iterations: Orca (OSDI 2022); of chunks: Sarathi-Serve (OSDI 2024).
"""

import heapq
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hybridsim.service.passes import Passes
from hybridsim.service.prefixes import Prefixes
from hybridsim.service.requests import Requests
from hybridsim.service.residency import Store
from hybridsim.service.result import Sums
from hybridsim.service.serving import ServedRequests, check
from hybridsim.units import Ints

_OFTEN = 256
"""Requests after which progress is told."""


@dataclass(slots=True)
class _Prompt:
    """A sequence whose prompt has not been taken in whole."""

    index: int
    left: int
    past: int
    fresh: bool = True
    """Whether none of it was taken in yet."""


@dataclass
class _Turn:
    """The sequences of one task that are at work."""

    prompts: deque[_Prompt] = field(default_factory=deque)
    ends: list[tuple[int, int]] = field(default_factory=list)
    """(pass of the task with its last token, request) of those that decode; a heap."""
    passes: int = 0
    """Passes that decoded so far."""
    contexts: int = 0
    """Tokens before the next ones, of all that decode together."""
    last_ps: int = 0
    """When those that decode had their last tokens, but for new ones."""
    new: list[int] = field(default_factory=list)
    """When each of those had its first token that decode from the next pass on."""

    @property
    def works(self) -> bool:
        return bool(self.prompts or self.ends)


class Gaps:
    """Times from token to token, and how many tokens have each."""

    def __init__(self) -> None:
        self._times = array("q")
        self._counts = array("i")

    def add(self, times: Ints, count: int) -> None:
        """Append some times, each of ``count`` tokens."""
        if count:
            self._times.frombytes(times.astype(np.int64).tobytes())
            self._counts.extend([count] * len(times))

    def all(self) -> tuple[Ints, Ints]:
        """Return all times and their counts."""
        return np.array(self._times, np.int64), np.array(self._counts, np.int64)


@dataclass
class Served:
    """What became of the requests."""

    requests: ServedRequests
    gaps: Gaps = field(default_factory=Gaps)
    iterations: int = 0
    decode_passes: int = 0
    decoded: int = 0
    """Tokens that these passes gave."""
    prompt_passes: int = 0
    busy_ps: int = 0
    lost_ps: int = 0
    overlap_ps: int = 0
    """The shorter of both kinds of passes, summed over iterations."""
    fetched: list[str] = field(default_factory=list)
    reused: int = 0
    """Prompt tokens that were there already."""

    @property
    def sums(self) -> Sums:
        """What the chip did in all."""
        return Sums(self.iterations, self.busy_ps, self.lost_ps, len(self.fetched))


@dataclass(frozen=True)
class Memory:
    """What keys and values take, and what there is for them."""

    kept_bytes: Callable[[int], int]
    """Tokens of a sequence -> bytes on the chip that holds most of them."""
    room_bytes: int | None
    """Of each chip; None where there is no limit."""


def serve_continuously(
    requests: Requests,
    passes: Mapping[int, Passes],
    store: Store,
    fetch_ps: Callable[[str], int],
    memory: Memory,
    *,
    most: int,
    chunk: int,
    prefixes: Prefixes | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> Served:
    """Serve requests, which are sorted by arrival, and return when each one was.

    ``passes`` gives the passes of each task by number, ``watch`` is told now and then how many
    requests are done. Each request alone fits the memory.

    Raises:
        InputError: ``most`` is below 1, or requests are not sorted by arrival.
    """
    check(requests, most)
    loop = _Loop(requests, passes, store, fetch_ps, memory, most, chunk, prefixes, watch)
    loop.run()
    return loop.served


class _Loop:
    """The state between iterations."""

    def __init__(
        self,
        requests: Requests,
        passes: Mapping[int, Passes],
        store: Store,
        fetch_ps: Callable[[str], int],
        memory: Memory,
        most: int,
        chunk: int,
        prefixes: Prefixes | None,
        watch: Callable[[int], None],
    ) -> None:
        self._requests, self._passes, self._memory = requests, passes, memory
        self._store, self._fetch_ps = store, fetch_ps
        self._most, self._chunk, self._prefixes, self._watch = most, chunk, prefixes, watch
        self.served = Served(ServedRequests(requests))
        self._now = 0
        self._next = 0
        """The first request that was not admitted."""
        self._at_work = 0
        self._taken = 0
        """Bytes of keys and values of all at work."""
        self._turns: OrderedDict[int, _Turn] = OrderedDict()
        self._start = array("Q", bytes(8 * len(requests)))
        self._first = array("Q", bytes(8 * len(requests)))
        self._end = array("Q", bytes(8 * len(requests)))
        self._batch = array("q", bytes(8 * len(requests)))
        self._finished = 0

    def run(self) -> None:
        """Serve all requests."""
        while self._next < len(self._requests) or self._turns:
            if not self._turns:
                self._now = max(self._now, self._requests.arrival_ps[self._next])
            self._admit()
            task, turn = next(iter(self._turns.items()))
            self._bring(task)
            began = self._now
            if turn.ends:
                self._decode(task, turn)
            between = self._now
            if turn.prompts:
                self._take_in(task, turn)
            self.served.overlap_ps += min(between - began, self._now - between)
            self.served.iterations += 1
            self._turns.pop(task)
            if turn.works:
                self._turns[task] = turn
        columns = self._batch, self._start, self._end, self._first
        for index, row in enumerate(zip(*columns, strict=True)):
            self.served.requests.add(index, *row)

    # --- admission ------------------------------------------------------------------------------

    def _need(self, index: int) -> int:
        """Return the bytes that keys and values of a request come to."""
        tokens = self._requests.prompt[index] + max(0, self._requests.output[index] - 1)
        return self._memory.kept_bytes(tokens)

    def _fits(self, index: int) -> bool:
        room = self._memory.room_bytes
        fits = room is None or self._taken + self._need(index) <= room
        return self._at_work < self._most and (fits or not self._at_work)

    def _admit(self) -> None:
        """Let in who waits, first come first served, as long as there is room."""
        requests = self._requests
        while (
            self._next < len(requests)
            and requests.arrival_ps[self._next] <= self._now
            and self._fits(self._next)
        ):
            index = self._next
            self._next += 1
            self._at_work += 1
            self._taken += self._need(index)
            prompt, reused = requests.prompt[index], 0
            if self._prefixes is not None and requests.blocks is not None:
                self._prefixes.leave_room(self._taken)
                reused = self._prefixes.reused(requests.blocks[index], prompt)
                self.served.reused += reused
            turn = self._turns.setdefault(requests.task[index], _Turn())
            turn.prompts.append(_Prompt(index, prompt - reused, reused))

    def _bring(self, task: int) -> None:
        """Fetch the adapters of a task, if they are not there."""
        for name in self._store.use((self._requests.tasks[task],)):
            took = self._fetch_ps(name)
            self._now += took
            self.served.lost_ps += took
            self.served.fetched.append(name)

    # --- passes ---------------------------------------------------------------------------------

    def _decode(self, task: int, turn: _Turn) -> None:
        """Give each sequence that decodes a token, and more as long as nothing else can happen."""
        sequences = len(turn.ends)
        count, until = 1, None
        if len(self._turns) == 1 and not turn.prompts:
            count = turn.ends[0][0] - turn.passes
            if self._next < len(self._requests) and self._fits(self._next):
                until = self._requests.arrival_ps[self._next] - self._now
        context = -(-turn.contexts // sequences)
        times = self._passes[task].token_ps(sequences, context, count)
        ends = np.cumsum(times)
        if until is not None:
            done = int(np.searchsorted(ends, until)) + 1
            times, ends = times[:done], ends[:done]
        done, took = len(times), int(ends[-1])
        served = self.served
        self._tell_gaps(turn, sequences, times)
        self._now += took
        served.busy_ps += took
        served.iterations += done - 1
        served.decode_passes += done
        served.decoded += done * sequences
        turn.passes += done
        turn.contexts += done * sequences
        turn.last_ps = self._now
        while turn.ends and turn.ends[0][0] == turn.passes:
            index = heapq.heappop(turn.ends)[1]
            turn.contexts -= self._requests.prompt[index] + self._requests.output[index] - 1
            self._done(index)

    def _tell_gaps(self, turn: _Turn, sequences: int, times: Ints) -> None:
        """Note the times from token to token: those of new sequences begin with the first."""
        gaps, first = self.served.gaps, self._now + int(times[0])
        old = sequences - len(turn.new)
        gaps.add(np.array([first - turn.last_ps]), old)
        for since in turn.new:
            gaps.add(np.array([first - since]), 1)
        turn.new.clear()
        if len(times) > 1:
            gaps.add(times[1:], sequences)

    def _take_in(self, task: int, turn: _Turn) -> None:
        """Take in a chunk of the prompts: those alike in one pass, in the order of the first."""
        left = self._chunk
        groups: dict[tuple[int, int], list[_Prompt]] = {}
        for prompt in turn.prompts:
            own = min(left, prompt.left)
            if not own:
                break
            left -= own
            groups.setdefault((own, prompt.past), []).append(prompt)
        for (tokens, past), members in groups.items():
            start = self._now
            took = self._passes[task].prompt_ps(tokens, past, len(members))
            self._now += took
            self.served.busy_ps += took
            self.served.prompt_passes += 1
            for prompt in members:
                self._advance(turn, prompt, tokens, start)
        turn.prompts = deque(prompt for prompt in turn.prompts if prompt.left)

    def _advance(self, turn: _Turn, prompt: _Prompt, tokens: int, start: int) -> None:
        """Note that a pass from ``start`` to now took in some tokens of a prompt."""
        index, requests = prompt.index, self._requests
        if prompt.fresh:
            self._start[index], self._batch[index] = start, self.served.iterations
            prompt.fresh = False
        prompt.left -= tokens
        prompt.past += tokens
        if prompt.left:
            return
        if self._prefixes is not None and requests.blocks is not None:
            self._prefixes.keep(requests.blocks[index], requests.prompt[index], self._taken)
        output = requests.output[index]
        if output:
            self._first[index] = self._now
        if output <= 1:
            self._done(index)
            return
        heapq.heappush(turn.ends, (turn.passes + output - 1, index))
        turn.contexts += requests.prompt[index]
        turn.new.append(self._now)

    def _done(self, index: int) -> None:
        self._at_work -= 1
        self._taken -= self._need(index)
        self._end[index] = self._now
        self._finished += 1
        if self._finished % _OFTEN == 0:
            self._watch(self._finished)
