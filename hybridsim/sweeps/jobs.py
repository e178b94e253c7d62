"""A sweep as jobs of a cluster under SLURM: a shard each, merged when all have ended.

submitit (extra ``slurm``) writes the scripts and waits; ``SBATCH_PARTITION``, ``SBATCH_TIMELIMIT``
and the like tell SLURM where and how long, as they do for ``sbatch`` itself.
"""

import re
from pathlib import Path

from hybridsim.errors import InputError, installing
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.merging import merge
from hybridsim.sweeps.run import Progress, SweepResult, run_shard

CLUSTERS = {"slurm": "slurm", "slurm-local": "local", "slurm-debug": "debug"}
"""Name of an executor -> where submitit runs jobs: under SLURM, as processes here, or in turn in
this process, which is how they are tried without SLURM."""
FORMS = "slurm:N, or slurm-local:N to try it here"
MOST_JOBS = 100_000


def jobs_of(executor: str) -> tuple[str, int] | None:
    """Return the cluster and the number of jobs that an executor means; None for another kind.

    Raises:
        InputError: The number is none.
    """
    kind, _, count = executor.partition(":")
    if kind not in CLUSTERS:
        return None
    if not re.fullmatch("[0-9]{1,6}", count) or not 1 <= int(count) <= MOST_JOBS:
        raise InputError(f"--executor: found {executor!r}; {FORMS}, with N of 1 to {MOST_JOBS}")
    return CLUSTERS[kind], int(count)


def run_in_jobs(
    inputs: Inputs, out: Path, cluster: str, count: int, progress: Progress | None = None
) -> SweepResult:
    """Evaluate a study in ``count`` jobs, each into a folder below ``out``, and merge them there.

    The same call goes on where an earlier one ended: jobs find what their shards hold.

    Raises:
        InputError: submitit or SLURM is missing, a job failed, or a folder cannot be used.
        KeyboardInterrupt: Ctrl-C was pressed; jobs that had not ended are cancelled.
    """
    try:
        import submitit
    except ImportError:
        raise InputError(
            f"--executor slurm:N needs submitit; {installing('slurm')}, or use --shard"
        ) from None
    folders = [out / "shards" / f"{i + 1}-of-{count}" for i in range(count)]
    try:
        executor = submitit.AutoExecutor(folder=out / "jobs", cluster=cluster)
    except RuntimeError as error:
        raise InputError(f"--executor: {error}; {FORMS} would do") from None
    executor.update_parameters(name=f"hybridsim-{inputs.study.name}")
    jobs = []
    try:
        with executor.batch():
            for i, folder in enumerate(folders):
                jobs.append(executor.submit(run_shard, inputs, (i + 1, count), folder))
        for job in jobs:
            job.result()
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel(check=False)
        raise
    except submitit.core.utils.UncompletedJobError as error:
        raise InputError(f"--executor: a job failed: {_last_line(error)}") from None
    return merge(inputs, folders, out, progress)


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else repr(error)
