"""What long studies say where there is no terminal."""

import typer
from typer.testing import CliRunner

from hybridsim.cli._progress import Lines, watching
from hybridsim.cli._terminal import EVERY_S, tell_minutes


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def told(steps, seconds_each, what="train a, seed 1"):
    clock, lines = Clock(), []
    watch = Lines(lines.append, clock)
    for done in range(1, steps + 1):
        clock.now += seconds_each
        watch(what, done, steps, f"loss {1 / done:.3f}, accuracy 80.0 %")
    return lines


def test_a_line_a_minute_says_loss_accuracy_and_time_left():
    lines = told(300, 2.0)
    assert len(lines) == 10  # ten minutes
    assert lines[0] == "train a, seed 1: 30 of 300, loss 0.033, accuracy 80.0 %, about 9 min left"
    assert lines[-1].endswith("about 0 s left")


def test_what_takes_less_than_a_minute_says_nothing():
    assert told(20, EVERY_S / 40) == []


def test_hours_are_told_as_hours_and_another_part_begins_anew():
    assert told(300, 61.0)[1].endswith("about 5 h 03 min left")
    clock, lines = Clock(), []
    watch = Lines(lines.append, clock)
    watch("first", 1, 2, "")
    clock.now += 90
    watch("second", 5, 10, "")  # nothing is known of its speed yet
    clock.now += 90
    watch("second", 6, 10, "")
    assert lines == ["second: 5 of 10", "second: 6 of 10, about 6 min left"]


def test_what_has_no_end_in_sight_tells_no_time_left():
    clock, lines = Clock(), []
    watch = Lines(lines.append, clock)
    for runs in (1000, 2000):
        clock.now += EVERY_S
        watch("runs", runs, None, "none meets all limits yet")
    assert lines[-1] == "runs: 2,000, none meets all limits yet"


def test_what_cannot_be_counted_tells_every_minute_how_long_it_takes():
    waits, lines = [], []

    def over(seconds):
        waits.append(seconds)
        return len(waits) > 2

    tell_minutes("simulating", lines.append, over)
    assert waits == [EVERY_S] * 3
    assert lines == ["simulating: 1 min so far", "simulating: 2 min so far"]


def test_interrupted_it_says_how_to_go_on(tmp_path):
    app = typer.Typer()

    @app.command()
    def work():
        with watching(quiet=False, folder=tmp_path / "out"):
            raise KeyboardInterrupt

    done = CliRunner().invoke(app, [])
    assert done.exit_code == 130
    assert "the same command goes on from" in done.output
