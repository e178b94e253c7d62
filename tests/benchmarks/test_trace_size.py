"""A trace of a million events is written in bounded memory."""

import json
import subprocess
import sys

import pytest

MOST_MIB = 150
"""What writing may add to the memory that the run itself takes."""
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from hybridsim import load
from hybridsim.report.trace import write_trace
from hybridsim.strategies import make_strategy
from hybridsim.simulation import execute

def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def run(tokens):
    strategy = make_strategy("token_parallel", {"batch": 1})
    return execute(*load("layer_128x128", "ahwa_lora_2026"), strategy, tokens)

path = Path(sys.argv[1])
write_trace(run(100), path)  # imports and compiled code are there now
large = run(40_000)
before, began = peak_kib(), time.process_time()
events = write_trace(large, path)
seconds = time.process_time() - began
grown = (peak_kib() - before) / 1024
print(json.dumps({"events": events, "grown_mib": grown, "seconds": seconds}))
"""


@pytest.mark.slow
def test_a_million_events_are_written_in_bounded_memory(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "trace.json.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    print(told)
    assert told["events"] > 10**6
    assert told["grown_mib"] < MOST_MIB
