"""Where points are evaluated: in this process, in others, or on a Dask cluster.

Dask is an extra, and takes a second to import: that waits until a cluster is asked for.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from hybridsim.errors import InputError, installing

P = ParamSpec("P")
T = TypeVar("T")

FORMS = "in-process, processes:N, dask, dask:N, dask://host:port or slurm:N"
MOST_WORKERS = 1024
PATIENCE = "10s"
"""How long a cluster may take to answer."""


class InProcess(Executor):
    """Evaluates at once, in the process that asks."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call ``fn`` and return a future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def open_executor(text: str) -> Iterator[tuple[Executor, int]]:
    """Yield the executor that a text names, and how many workers it has.

    Raises:
        InputError: The text names none, the cluster does not answer, or Dask is not installed.
    """
    kind, _, rest = text.partition(":")
    if text == "in-process":
        yield InProcess(), 1
    elif kind == "processes":
        workers = _workers(rest, text) if rest else os.cpu_count() or 1
        with _processes(workers) as executor:
            yield executor, workers
    elif kind == "dask":
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise InputError(
                f"--executor {text} needs Dask; {installing('dask')}, or use processes:N"
            ) from None
        address = rest.removeprefix("//") if rest.startswith("//") else None
        if rest.startswith("//") and not address:
            raise InputError(f"--executor: found {text!r}; as in dask://host:8786")
        local = 0 if address or not rest else _workers(rest, text)
        with _cluster(address, local or os.cpu_count() or 1) as opened:
            yield opened
    else:
        raise InputError(f"--executor: found {text!r}; {FORMS} would do")


class Processes(Executor):
    """Evaluates in other processes of this machine; where one dies, all begin again."""

    def __init__(self, workers: int) -> None:
        """Start nothing yet: processes start when there is work."""
        self._workers = workers
        self._pool = self._new()

    def _new(self) -> ProcessPoolExecutor:
        # fresh interpreters: a fork would copy threads' locks in whatever state they are
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=spawn, initializer=_become_worker)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have ``fn`` called in one of the processes."""
        try:
            with _interrupts_wait():  # one may be started now
                return self._pool.submit(fn, *args, **kwargs)
        except (BrokenExecutor, OSError, ValueError) as error:
            # Before Python 3.12 a pool closes its pipes while it starts a process if another one
            # dies at that moment: then "bad value(s) in fds_to_keep", or a closed handle.
            future: Future[T] = Future()
            future.set_exception(BrokenProcessPool(f"no process could be started: {error}"))
            return future

    def begin_again(self) -> None:
        """Replace all processes; what they were doing is lost."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._new()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; processes that are started in it never hear it.

    Until a fresh interpreter leaves Ctrl-C to its parent, it would end with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # no signals, no mask
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    executor = Processes(workers)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _become_worker() -> None:
    """Leave Ctrl-C to the process that started this one, and end when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent: Any = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _workers(count: str, text: str) -> int:
    if not count.isdecimal() or not 1 <= int(count[:6]) <= MOST_WORKERS:
        raise InputError(f"--executor: found {text!r}; {FORMS}, with N of 1 to {MOST_WORKERS}")
    return int(count)


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[tuple[Executor, int]]:
    """Yield a cluster's executor and its number of threads; without an address, start one.

    Results are never the same call twice (``pure``), so their identity is not computed from them.

    Raises:
        InputError: Nothing answers at the address, no worker is there, or workers or the
            scheduler end before the work does.
    """
    import dask
    from distributed import Client, LocalCluster

    if address is None:
        with (
            _lost_in_a_sentence(),
            dask.config.set({"distributed.worker.profile.enabled": False}),
            # one thread each: points are computed by Python code that holds its lock
            _closed_at_the_end(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,
                )
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client.get_executor(pure=False), workers
        return
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--executor: no Dask scheduler at {address}: {reason}") from None
    with _lost_in_a_sentence(), client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"--executor: the Dask scheduler at {address} has no workers")
        yield client.get_executor(pure=False), threads


@contextmanager
def _closed_at_the_end(cluster: Any) -> Iterator[Any]:
    """Close a cluster; what went wrong before is not hidden by what closing trips over.

    A nanny that is about to start its worker anew, as that has died, cannot be closed in peace.
    """
    try:
        yield cluster
    except BaseException:
        with suppress(Exception):
            cluster.close()
        raise
    cluster.close()


@contextmanager
def _lost_in_a_sentence() -> Iterator[None]:
    """Turn what Dask says of dead workers and of a lost scheduler into an error of input."""
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    kept = "what was recorded before is kept, and the same command goes on from there"
    try:
        yield
    except KilledWorker:
        raise InputError(
            "--executor: workers of Dask died again and again at the same points, killed from "
            f"outside or for want of memory; fewer of them would do, and {kept}"
        ) from None
    except (CancelledError, CommClosedError):
        raise InputError(f"--executor: the Dask scheduler is gone; {kept}") from None
