"""Laws of the serving loop: against a naive recursion, a closed form, and invariants."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.errors import CapacityError, InputError
from hybridsim.service import Request, Store, poisson_requests, serve

TRACES = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from("abcd"), st.integers(1, 9)),
    min_size=1,
    max_size=40,
).map(
    lambda rows: [
        Request(arrival, task, prompt)
        for arrival, task, prompt in sorted(rows, key=lambda row: row[0])
    ]
)


def _store(policy="lru", capacity=2, tasks="abcd"):
    return Store(capacity, dict.fromkeys(tasks, 1), policy)


def _tokens(batch):
    return 10 * sum(request.prompt for request in batch)


@given(TRACES)
def test_one_request_at_a_time_follows_lindleys_recursion(requests):
    served, _ = serve(requests, _store(capacity=4), _tokens, lambda task: 0)
    end = 0
    for one, request in zip(served, requests, strict=True):
        end = max(end, request.arrival_ps) + _tokens([request])  # D. V. Lindley 1952
        assert one.end_ps == end


@given(TRACES, st.integers(1, 5), st.sampled_from(["grouped", "mixed"]), st.booleans(),
       st.sampled_from(["lru", "pinned", "none"]))  # fmt: skip
def test_every_request_is_served_once_and_never_before_it_arrives(
    requests, most, mix, overlap, policy
):
    served, batches = serve(
        requests, _store(policy, 2 * most), _tokens, lambda task: 7,
        most=most, mix=mix, overlap=overlap,
    )  # fmt: skip
    assert sorted((s.request for s in served), key=id) == sorted(requests, key=id)
    assert all(s.start_ps >= s.request.arrival_ps for s in served)
    assert sum(b.requests for b in batches) == len(requests)
    assert max(b.requests for b in batches) <= most
    for before, after in pairwise(batches):
        assert after.start_ps >= before.end_ps
    for batch in batches:
        assert batch.tasks == 1 or mix == "mixed"
        assert batch.lost_ps <= batch.fetch_ps
        assert overlap or batch.lost_ps == batch.fetch_ps


def _naive_batches(requests, most, mix):
    """Look through all that wait, each time anew."""
    left, free, found = list(range(len(requests))), 0, []
    while left:
        first = left[0]
        now = max(free, requests[first].arrival_ps)
        others = [
            i
            for i in left[1:]
            if requests[i].arrival_ps <= now
            and (mix == "mixed" or requests[i].task == requests[first].task)
        ]
        batch = [first, *others[: most - 1]]
        left = [i for i in left if i not in batch]
        free = now + _tokens([requests[i] for i in batch])
        found.append(batch)
    return found


@given(TRACES, st.integers(1, 5), st.sampled_from(["grouped", "mixed"]))
def test_batches_are_those_of_a_naive_search(requests, most, mix):
    served, batches = serve(
        requests, _store(capacity=4), _tokens, lambda task: 0, most=most, mix=mix
    )
    expected = _naive_batches(requests, most, mix)
    assert served.places.tolist() == [i for batch in expected for i in batch]
    assert batches.requests.tolist() == [len(batch) for batch in expected]
    assert list(served) == [served[i] for i in range(len(served))]
    assert [batch.requests for batch in batches[:2]] == [len(each) for each in expected[:2]]


@given(TRACES, st.integers(1, 4))
def test_lru_fetches_what_a_naive_list_fetches(requests, capacity):
    _, batches = serve(requests, _store("lru", capacity), _tokens, lambda task: 3)
    held, fetched = [], []
    for request in requests:
        if request.task not in held:
            fetched.append(request.task)
            held = held[-(capacity - 1) :] if capacity > 1 else []
        else:
            held.remove(request.task)
        held.append(request.task)
    assert [task for batch in batches for task in batch.fetched] == fetched


@given(TRACES)
def test_a_store_for_all_tasks_fetches_each_once(requests):
    for policy in ("lru", "pinned"):
        _, batches = serve(requests, _store(policy, 4), _tokens, lambda task: 3)
        assert sum(len(b.fetched) for b in batches) == len({r.task for r in requests})


@given(TRACES)
def test_without_a_policy_every_change_of_task_is_a_fetch(requests):
    _, batches = serve(requests, _store("none", 4), _tokens, lambda task: 3)
    tasks = [request.task for request in requests]
    changes = 1 + sum(a != b for a, b in pairwise(tasks))
    assert sum(len(b.fetched) for b in batches) == changes


def test_pinned_tasks_stay():
    store = _store("pinned", 3)
    for task in "abcdcdab":
        store.use([task])
    # a and b are pinned, the third place is for whoever comes by
    assert set(store.held) >= {"a", "b"}
    assert store.use("ab") == ()


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_mean_wait_is_that_of_an_m_d_1_queue(load):
    """Poisson arrivals, one server, constant service: W = rho s / (2 (1 - rho)).

    Source: A. K. Erlang 1909; F. Pollaczek and A. Y. Khinchin for the general form.
    """
    service = 10**9
    requests = poisson_requests(["a"], load * 1e12 / service, 40_000, prompt=1, seed=1)
    served, _ = serve(requests, _store(tasks="a"), lambda batch: service, lambda task: 0)
    waits = np.array([one.waiting_ps for one in served], float)
    expected = load * service / (2 * (1 - load))
    # means of 50 stretches, which are nearly independent of each other
    stretches = waits.reshape(50, -1).mean(axis=1)
    error = stretches.std(ddof=1) / 50**0.5
    assert abs(stretches.mean() - expected) < 4 * error
    assert error < 0.1 * expected


def test_overlap_hides_a_fetch_behind_the_batch_before():
    requests = [Request(0, "a", 1), Request(0, "b", 1), Request(0, "a", 1)]
    apart, lost = (
        serve(requests, _store("none", 2), lambda b: 100, lambda task: 30, overlap=overlap)[1]
        for overlap in (False, True)
    )
    assert [batch.lost_ps for batch in apart] == [30, 30, 30]
    assert [batch.lost_ps for batch in lost] == [30, 0, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(CapacityError, match="adapters of task 'a' take 5 B"):
        Store(4, {"a": 5}, "lru")
    with pytest.raises(CapacityError, match="adapters of 3 tasks take 3 B at the same time"):
        _store("lru", 2).use("abc")
    with pytest.raises(InputError, match="batch: found 0"):
        serve([Request(0, "a", 1)], _store(), _tokens, lambda task: 0, most=0)
    with pytest.raises(InputError, match="not sorted by arrival"):
        serve([Request(1, "a", 1), Request(0, "a", 1)], _store(), _tokens, lambda task: 0)
