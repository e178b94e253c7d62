"""Questions of the package reasoning-gym, which also says what an answer is worth.

Each part of a task has a seed of its own, and what another part has asked is not asked again.
"""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from functools import partial
from importlib import metadata
from typing import Any

from hybridsim.errors import InputError, SpecError, did_you_mean, installing
from hybridsim.training.crossbar import stream
from hybridsim.training.questions import END, Question
from hybridsim.training.reward_study import GymTask

PACKAGE = "reasoning-gym"
DRAWS = 20
"""Questions that are drawn for each one that is wanted, before there are said to be too few."""
OURS = {"seed", "size"}
"""Settings of the package's tasks that a study says in other ways."""


def gym_questions(task: GymTask, package: Any = None) -> tuple[list[Question], ...]:
    """Return the questions that are shown, tested, chosen by and trained on.

    Args:
        task: Which, how many, and the seed.
        package: What has ``create_dataset``; the installed one unless given.

    Raises:
        InputError: The package is not installed.
        SpecError: It has no such task, the task no such setting, or too few questions with an
            answer of one line.
    """
    package = package or installed(task)
    asked: set[str] = set()
    counts = (task.shots, task.test, task.validation, task.train)
    return tuple(
        _drawn(package, task, stream(task.seed, 41, part), count, asked)
        for part, count in enumerate(counts)
    )


def gym_version() -> str:
    """Return the version of the package, on which questions and rewards depend."""
    return metadata.version(PACKAGE)


def installed(task: GymTask) -> Any:
    """Return the package, if it knows the task and its settings.

    Raises:
        InputError: It is not installed.
        SpecError: It does not know them.
    """
    try:
        import reasoning_gym  # only where a study names one of its tasks
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        problem = f"{error.name} is not installed; {installing('gym')} would do"
        raise InputError(f"task: {PACKAGE}: {problem}") from None
    if task.name not in DATASETS:
        near = did_you_mean(task.name, DATASETS)
        problem = f"found {task.name!r}{near}; a task of {PACKAGE} {gym_version()} would do"
        raise SpecError("task", "name", problem)
    known = {field.name for field in fields(DATASETS[task.name][1])} - OURS
    for key in task.config:
        if key not in known:
            problem = f"is no setting of {task.name}; {', '.join(sorted(known))} would do"
            raise SpecError("task", f"config.{key}", problem)
    return reasoning_gym


def _drawn(package: Any, task: GymTask, seed: int, count: int, asked: set[str]) -> list[Question]:
    """Return so many questions that are not among those asked, and let them be."""
    found: list[Question] = []
    try:
        with redirect_stdout(sys.stderr):  # some tasks print; standard output is for answers
            for dataset, entry in _entries(package, task, seed, DRAWS * count):
                text, answer = str(entry["question"]), entry["answer"]
                if text in asked or not isinstance(answer, str) or END in answer or not answer:
                    continue
                asked.add(text)
                worth = partial(_worth, dataset, entry)
                found.append(Question(f"{text}\nAnswer:", f" {answer}", worth))
                if len(found) == count:
                    return found
    except (AssertionError, TypeError, ValueError) as error:  # how the package refuses settings
        problem = " ".join(str(error).split()) or type(error).__name__
        raise SpecError("task", "config", f"{task.name} refuses it: {problem}") from None
    if len(found) < count:
        problem = f"found {len(found)} more questions with an answer of one line among "
        problem += f"{DRAWS * count} drawn; {count} would do, or fewer to ask for"
        raise SpecError("task", "name", problem)
    return found


def _entries(
    package: Any, task: GymTask, seed: int, count: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield questions as the package makes them, each with what scores it."""
    if count:
        dataset = package.create_dataset(task.name, seed=seed, size=count, **task.config)
        yield from ((dataset, dataset[place]) for place in range(count))


def _worth(dataset: Any, entry: dict[str, Any], answer: str) -> float:
    return float(dataset.score_answer(answer, entry))
