"""A Dask cluster as an executor: one that runs somewhere, or one started on this machine."""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import cast

import dask
from distributed import Client, LocalCluster

from hybridsim.errors import InputError

PATIENCE = "10s"
"""How long a cluster may take to answer."""


@contextmanager
def open_dask(address: str | None, workers: int) -> Iterator[tuple[Executor, int]]:
    """Yield a cluster's executor and its number of threads; without an address, start one.

    Raises:
        InputError: Nothing answers at the address, or no worker is there.
    """
    if address is None:
        with (
            dask.config.set({"distributed.worker.profile.enabled": False}),
            # one thread each: points are computed by Python code that holds its lock
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield _executor(client), workers
        return
    try:
        client = Client(f"tcp://{address}", timeout=PATIENCE)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--executor: no Dask scheduler at {address}: {reason}") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"--executor: the Dask scheduler at {address} has no workers")
        yield _executor(client), threads


def _executor(client: Client) -> Executor:
    # results are never the same call twice, so their identity need not be computed from them
    return cast(Executor, client.get_executor(pure=False))
