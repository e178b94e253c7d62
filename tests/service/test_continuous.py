"""Laws of continuous batching: against generations, against a naive loop, and of its sums."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import Machine, load_machine
from hybridsim.engines import engine
from hybridsim.errors import CapacityError, InputError
from hybridsim.generation import GenerationTimes, strategy_for
from hybridsim.library import network_path
from hybridsim.mapping import place
from hybridsim.service import Request, Requests, Store, Targets, run_service
from hybridsim.service.continuous import Memory, serve_continuously
from hybridsim.service.passes import Interpolated, Simulated, knots
from hybridsim.service.prefixes import Prefixes
from hybridsim.service.result import spread
from hybridsim.strategies import Job, carry_out
from hybridsim.workload import AdapterSpec, Network, load_network, network_from_config

pytestmark = pytest.mark.usefixtures("times_once")

CONFIG = {
    "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Network:
    adapters = AdapterSpec(rank=4, exclude=("lm_head",))
    return network_from_config(
        CONFIG, name="small", source="test", head="lm_head", adapters=adapters
    )


@pytest.fixture(scope="module")
def machine() -> Machine:
    return load_machine("llm_2026", {"tile.count": 16, "chips.count": 1, "cluster.count": 2})


@pytest.fixture(scope="module")
def times(network: Network, machine: Machine) -> GenerationTimes:
    """What passes take, apart from those that services ask."""
    return GenerationTimes(network, machine)


# --- against generations ------------------------------------------------------------------------


def test_one_request_at_a_time_takes_what_its_generation_takes(
    network: Network, machine: Machine, times: GenerationTimes
) -> None:
    second = 10**12
    rows = [(0, 20, 5), (second, 33, 1), (2 * second, 7, 3)]
    requests = [Request(arrival, "a", prompt, output) for arrival, prompt, output in rows]
    table = run_service(network, machine, requests, mix="continuous").requests
    for row, request in zip(table.to_dict("records"), requests, strict=True):
        first, last = times.times(request.prompt, request.output)
        assert row["end_ps"] - row["start_ps"] == last
        assert row["first_token_ps"] == first + row["start_ps"] - row["arrival_ps"]


def test_equal_requests_at_once_take_what_they_take_together(
    network: Network, machine: Machine, times: GenerationTimes
) -> None:
    table = run_service(network, machine, [Request(0, "a", 20, 5)] * 3, mix="continuous").requests
    expected = times.times(20, 5, 3)
    assert set(table["end_ps"] - table["start_ps"]) == {expected[1]}
    assert set(table["first_token_ps"] - table["start_ps"]) == {expected[0]}


def test_a_chunk_takes_what_its_tokens_take_after_those_before(
    network: Network, machine: Machine, times: GenerationTimes
) -> None:
    table = run_service(
        network, machine, [Request(0, "a", 20, 1)], mix="continuous", chunk=8
    ).requests
    parts = [times.prompt_ps(8, 0, 1), times.prompt_ps(8, 8, 1), times.prompt_ps(4, 16, 1)]
    assert (table["end_ps"] - table["start_ps"]).tolist() == [sum(parts)]


@pytest.mark.parametrize("sram", ["16 MiB", "24 KiB"])
def test_chunks_are_those_of_plans_laid_out_from_scratch(network: Network, sram: str) -> None:
    """Templates serve them as long as the SRAM holds the same keys and values."""
    there = load_machine(
        "llm_2026",
        {"tile.count": 16, "chips.count": 1, "cluster.count": 2, "memory.sram.size": sram},
    )
    strategy = strategy_for({"flash": "always"})
    mapping, run = place(network, there), engine("compiled")
    times = GenerationTimes(network, there)
    for tokens, past, sequences in [(40, 3, 1), (40, 90, 1), (40, 91, 1), (5, 30, 3), (5, 99, 3)]:
        job = Job(mapping, tokens, run, past, sequences)
        alone = carry_out(strategy.schedule(job), there, run).makespan
        assert times.prompt_ps(tokens, past, sequences) == alone


# --- against a naive loop -----------------------------------------------------------------------


@dataclass
class Made:
    """Passes with times that no two questions share, told some at a time."""

    at_once: int = 1

    def token_ps(self, sequences: int, context: int, count: int) -> Any:
        count = min(count, self.at_once)
        return np.array([7 + 3 * sequences + 5 * (context + i) for i in range(count)])

    def prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        return 11 + 2 * tokens * sequences + past


TRACES = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from("ab"), st.integers(1, 12), st.integers(0, 6)),
    min_size=1,
    max_size=12,
).map(lambda rows: [Request(*row) for row in sorted(rows, key=lambda row: row[0])])


def naive(
    requests: Sequence[Request], most: int, chunk: int, room: int, fetch: int
) -> list[tuple[int, int, int]]:
    """Return start, first token (0 if none) and end of each request, told step by step."""
    passes, now, waiting = Made(), 0, list(range(len(requests)))
    work: list[int] = []
    turns: list[str] = []
    held: str | None = None
    taken, given_, done = dict[int, int](), dict[int, int](), dict[int, int]()
    start, first = dict[int, int](), dict[int, int]()

    def need(i: int) -> int:
        return requests[i].prompt + max(0, requests[i].output - 1)

    while waiting or work:
        if not work:
            now = max(now, requests[waiting[0]].arrival_ps)
        while waiting and requests[waiting[0]].arrival_ps <= now and len(work) < most:
            if work and sum(map(need, work)) + need(waiting[0]) > room:
                break
            i = waiting.pop(0)
            work.append(i)
            taken[i] = given_[i] = 0
            if requests[i].task not in turns:
                turns.append(requests[i].task)
        task = turns.pop(0)
        if held != task:
            now, held = now + fetch, task
        own = [i for i in work if requests[i].task == task]
        decoding = [i for i in own if i in first and given_[i] < requests[i].output]
        prompts = [i for i in own if taken[i] < requests[i].prompt]
        if decoding:
            contexts = sum(requests[i].prompt + given_[i] - 1 for i in decoding)
            now += int(passes.token_ps(len(decoding), -(-contexts // len(decoding)), 1)[0])
            for i in decoding:
                given_[i] += 1
                if given_[i] == requests[i].output:
                    done[i] = now
        left, groups = chunk, dict[tuple[int, int], list[int]]()
        for i in prompts:
            tokens = min(left, requests[i].prompt - taken[i])
            if tokens:
                groups.setdefault((tokens, taken[i]), []).append(i)
            left -= tokens
        for (tokens, past), members in groups.items():
            begun = now
            now += passes.prompt_ps(tokens, past, len(members))
            for i in members:
                start.setdefault(i, begun)
                taken[i] += tokens
                if taken[i] == requests[i].prompt:
                    if requests[i].output:
                        first[i], given_[i] = now, 1
                    if requests[i].output <= 1:
                        done[i] = now
        work = [i for i in work if i not in done]
        if any(requests[i].task == task for i in work):
            turns.append(task)
    return [(start[i], first.get(i, 0), done[i]) for i in range(len(requests))]


def _served(
    requests: Sequence[Request], most: int, chunk: int, room: int, at_once: int, fetch: int = 0
) -> Any:
    columns = Requests.of(requests)
    return serve_continuously(
        columns,
        dict.fromkeys(range(len(columns.tasks)), Made(at_once)),
        Store(1, dict.fromkeys(columns.tasks, 1), "none"),
        lambda task: fetch,
        Memory(lambda tokens: tokens, room),
        most=most,
        chunk=chunk,
    )


@given(TRACES, st.integers(1, 4), st.integers(1, 15), st.integers(18, 60), st.integers(1, 9))
def test_every_moment_is_that_of_a_naive_loop(
    requests: list[Request], most: int, chunk: int, room: int, at_once: int
) -> None:
    """However many passes are looked at together."""
    found = _served(requests, most, chunk, room, at_once, fetch=13).requests
    rows = [(one.start_ps, one.first_ps or 0, one.end_ps) for one in found]
    assert rows == naive(requests, most, chunk, room, 13)


@given(TRACES, st.integers(1, 4), st.integers(1, 15), st.integers(1, 9))
def test_times_between_tokens_add_up(
    requests: list[Request], most: int, chunk: int, at_once: int
) -> None:
    """Each token but the first of a request has one, and they fill the time since the first."""
    found = _served(requests, most, chunk, 10**6, at_once)
    gaps, counts = found.gaps.all()
    assert counts.sum() == sum(max(0, request.output - 1) for request in requests)
    since = [one.end_ps - one.first_ps for one in found.requests if one.first_ps is not None]
    assert (gaps * counts).sum() == sum(since)
    assert found.decoded == counts.sum()
    assert found.busy_ps <= max(one.end_ps for one in found.requests)
    assert 2 * found.overlap_ps <= found.busy_ps


def test_a_weighted_percentile_is_that_of_all_of_them() -> None:
    times, counts = np.array([3.0, 1.0, 2.0]), np.array([1, 50, 49])
    assert spread(times, counts) == spread(np.repeat(times, counts))


# --- passes between knots -----------------------------------------------------------------------


@pytest.mark.parametrize("digits", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [1, 2, 8, 9, 100, 4097])
def test_knots_begin_at_1_end_at_the_most_and_are_few(most: int, digits: int) -> None:
    found = knots(most, digits)
    assert (found[0], found[-1]) == (1, most)
    assert found == sorted(set(found))
    assert set(range(1, min(most, 8) + 1)) <= set(found)
    assert len(found) <= 9 + (1 << digits) * most.bit_length()


class Straight:
    """Times that lie on straight lines in each number, in place of simulated ones."""

    def token_ps(self, context: int, sequences: int) -> int:
        return 1000 + 70 * context * sequences

    def longest(self, sequences: int, most: int) -> int:
        return most

    def prompt_ps(self, tokens: int, past: int, sequences: int) -> int:
        return 1000 + 30 * tokens * sequences + 9 * past + (500 if past else 0)


@given(st.data())
def test_what_lies_on_straight_lines_is_interpolated_without_error(data: st.DataObject) -> None:
    straight: Any = Straight()
    exact, between = Simulated(straight), Interpolated(straight, 5000, 100, 300)
    sequences = data.draw(st.integers(1, 100))
    context, count = data.draw(st.integers(1, 4000)), data.draw(st.integers(1, 99))
    expected = [straight.token_ps(context + i, sequences) for i in range(count)]
    assert between.token_ps(sequences, context, count).tolist() == expected
    assert between.token_ps(sequences, context, 1)[0] == exact.token_ps(sequences, context, 1)[0]
    asked = data.draw(st.tuples(st.integers(1, 300), st.integers(0, 5000), st.integers(1, 100)))
    assert between.prompt_ps(*asked) == exact.prompt_ps(*asked)
    assert [found for found, _ in between.checked()] == [right for _, right in between.checked()]


def test_errors_between_knots_are_told(network: Network, machine: Machine) -> None:
    requests = [Request(i * 10**8, "a", 20 + 3 * i, 4 + i) for i in range(4)]
    exact, between = (
        run_service(network, machine, requests, mix="continuous", exact=each).result
        for each in (True, False)
    )
    assert exact.continuous is not None
    assert between.continuous is not None
    assert exact.continuous.exact
    assert exact.continuous.checked == 0
    assert between.continuous.checked > 0
    assert between.continuous.error_percent is not None
    error = between.continuous.error_percent / 100
    assert 0 < error < 0.1
    assert between.latency_mean_ms == pytest.approx(exact.latency_mean_ms, rel=0.1)


# --- prefixes, targets, what cannot be ----------------------------------------------------------


def test_prompts_that_begin_alike_are_computed_once(
    network: Network, machine: Machine, times: GenerationTimes
) -> None:
    requests = Requests.of([Request(i * 10**12, "a", 50, 2) for i in range(3)])
    requests.block, requests.blocks = 16, [array("q", own) for own in ((1, 2, 3), (1, 2, 9), (7,))]
    found, without = (
        run_service(network, machine, requests, mix="continuous", reuse=reuse)
        for reuse in (True, False)
    )
    assert found.result.continuous is not None
    assert found.result.continuous.reused_tokens == 32
    took = (found.requests["end_ps"] - found.requests["start_ps"]).tolist()
    assert took[1] == times.prompt_ps(18, 32, 1) + times.token_ps(50, 1)
    assert took[0] == took[2]
    assert len(set(without.requests["end_ps"] - without.requests["start_ps"])) == 1


def test_prefixes_leave_room_for_sequences_at_work() -> None:
    kept = Prefixes(block=4, block_bytes=10, room=100)
    kept.keep(array("q", range(8)), prompt=31, taken=20)
    assert len(kept) == 7  # the last block is not full
    assert kept.reused(array("q", range(8)), prompt=31) == 28
    assert kept.reused(array("q", [0, 1]), prompt=8) == 7  # one token is left to compute
    kept.leave_room(80)
    assert len(kept) == 2
    assert kept.reused(array("q", [0]), prompt=9) == 4  # used last, so it stayed


def test_good_requests_meet_every_target(network: Network, machine: Machine) -> None:
    requests = [Request(0, "a", 20, 4), Request(10**12, "a", 20, 4), Request(10**12, "a", 20, 1)]
    served = run_service(network, machine, requests, mix="continuous", most=1)
    first = served.requests["first_token_ps"].tolist()
    assert first[0] == first[1] < first[2]
    each = (served.requests["latency_ps"] - served.requests["first_token_ps"]).iloc[1] // 3 + 1

    def good(first_token: int | None, token: int | None) -> float:
        targets = Targets(first_token, int(token) if token else None)
        result = run_service(
            network, machine, requests, mix="continuous", most=1, targets=targets
        ).result
        assert result.goodput is not None
        assert result.goodput.per_s * result.span_s == pytest.approx(3 * result.goodput.share)
        return round(3 * result.goodput.share, 6)

    assert good(None, each) == 3  # a single token has none after it
    assert good(None, each - 2) == 1
    assert good(first[0], each) == 2
    assert good(first[0], each - 2) == 0
    assert good(first[0] - 1, None) == 0
    assert good(first[2], None) == 3
    assert served.result.goodput is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, "chunk: found 0; write a whole number from 1"),
        ({"most": 0}, "batch: found 0; write a whole number from 1"),
        ({"most": 5000}, "batch: found 5000; write a whole number from 1 to 4096"),
        ({"overlap": True}, "overlap: continuous batching fetches"),
    ],
)
def test_what_cannot_be_is_refused(
    network: Network, machine: Machine, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_service(network, machine, [Request(0, "a", 9, 2)], mix="continuous", **options)


def test_an_encoder_takes_in_no_chunks() -> None:
    encoder, there = load_network(network_path("minilm_l6")), load_machine("ahwa_lora_2026:served")
    with pytest.raises(InputError, match="no attention of minilm_l6 is causal"):
        run_service(encoder, there, [Request(0, "a", 9)], mix="continuous")


def test_keys_and_values_that_fit_nowhere_are_refused_before_anything_runs(
    network: Network, machine: Machine
) -> None:
    there = load_machine(
        "llm_2026",
        {"tile.count": 16, "chips.count": 1, "cluster.count": 2, "memory.sram.size": "64 KiB",
         "memory.dram.size": "64 KiB"},
    )  # fmt: skip
    with pytest.raises(CapacityError, match="keys and values of 3003 tokens of 1 sequences take"):
        run_service(network, there, [Request(0, "a", 3000, 4)], mix="continuous")


def test_progress_is_told_while_requests_are_served(network: Network, machine: Machine) -> None:
    told: list[int] = []
    watch: Callable[[int], None] = told.append
    run_service(network, machine, [Request(0, "a", 1, 1)] * 600, mix="continuous", watch=watch)
    assert told == [256, 512]
