"""``hybridsim sweep --dry-run``: how long a sweep would take, and what memory."""

from hybridsim.cli._terminal import out, print_json
from hybridsim.sweeps.executors import open_executor
from hybridsim.sweeps.forecast import forecast
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.jobs import jobs_of
from hybridsim.units import format_bytes, format_ps


def print_forecast(inputs: Inputs, executor: str, json_: bool) -> None:
    """Print what a sweep is expected to take, from some of its points."""
    jobs = jobs_of(executor)
    with open_executor("in-process" if jobs else executor) as (_, workers):
        workers = jobs[1] if jobs else workers
    expected = forecast(inputs)
    seconds = expected.seconds / workers
    if json_:
        print_json(
            {
                "study": inputs.study.name,
                "points": expected.points,
                "sampled": expected.sampled,
                "workers": workers,
                "seconds": seconds,
                "result_bytes": expected.result_bytes,
                "worker_bytes": expected.worker_bytes,
            }
        )
        return
    out().print(
        f"{inputs.study.name}: {expected.points:,} points",
        f"  time    {format_ps(int(seconds * 1e12))} on {workers} "
        f"worker{'s' if workers > 1 else ''} (from {expected.sampled} points)",
        f"  memory  {format_bytes(expected.result_bytes)} for results, and "
        f"{format_bytes(expected.worker_bytes) if expected.worker_bytes else '?'} per worker",
        sep="\n",
    )
