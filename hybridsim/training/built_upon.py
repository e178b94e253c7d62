"""Studies that take the adapters of another study: where these lie, and whose a folder is."""

from pathlib import Path
from typing import Any

import torch

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.training.classifier import Classifier
from hybridsim.training.files import Lines, claim
from hybridsim.training.identity import Part, identity
from hybridsim.training.run import StudyRun, Watch
from hybridsim.training.tokens import TokenizedText


def adapters_of(
    file: Path, adapters: str, results: str | None, out: Path, watch: Watch | None, on: Part
) -> StudyRun:
    """Return the study of adapters that a study builds upon.

    Args:
        file: The study that builds upon it.
        adapters: The study of ``hybridsim adapt``, beside the file.
        results: Its results folder, beside ``out`` or by its path; None for ``out/adapters``.
        out: The results folder of the study that builds upon it.
        watch: Told what is trained.
        on: The sentences that judge.

    Raises:
        SpecError: It is not there.
        UnsupportedError: Its answers are no classes.
    """
    found = file.parent / adapters
    if not found.exists():
        problem = f"found {adapters!r}; a file beside {file.name} would do"
        raise SpecError(str(file), "adapters", problem)
    folder = out / "adapters"
    if results is not None:
        places = (out.parent / results, Path(results).expanduser())
        there = [place for place in places if place.is_dir()]
        if not there:
            problem = f"found {results!r}; a folder beside {out} would do"
            raise SpecError(str(file), "results", problem)
        folder = there[0]
    run = StudyRun(found, folder, watch, on)
    answers = run.study.data.answers
    if answers != "classes":
        raise UnsupportedError(f"{found}: answers are {answers}; a task of classes would do")
    if run.study.adapter_precision != "fp32":
        problem = "found 'fp16'; only adapt tests adapters so, 'fp32' would do"
        raise SpecError(str(found), "adapter_precision", problem)
    if run.study.analog.ranges.kind != "given" and run.study.analog.ranges.when == "then":
        problem = "found 'then'; only adapt measures ranges at each time, 'once' would do"
        raise SpecError(str(found), "analog.ranges.when", problem)
    return run


def known_arm(file: Path, place: str, arm: str, adapt: StudyRun) -> str:
    """Return an arm that trains adapters.

    Raises:
        SpecError: It is none.
    """
    arms = adapt.study.arms
    if arm not in arms or arms[arm].train != "lora":
        known = ", ".join(name for name, each in arms.items() if each.train == "lora")
        problem = f"found {arm!r}; an arm that trains adapters would do: {known or 'none'}"
        raise SpecError(str(file), place, problem)
    return arm


def lines_of(out: Path, own: dict[str, Any], adapt: StudyRun) -> Lines:
    """Return the journal of a folder, which is told what it belongs to.

    Raises:
        InputError: It belongs to another study, model, data or version.
    """
    about = identity(adapt.study, adapt.folder, adapt.split, adapt.on)
    for key in ("chips", "times", "seeds", "question", "controls"):
        about["study"].pop(key, None)
    claim(out, {"own": own, **about})
    return Lines(out / "journal.jsonl")


def logits_of(model: Classifier, text: TokenizedText, size: int = 32) -> torch.Tensor:
    """Return the logits of all sentences, shape (sentences, classes)."""
    found = torch.empty((len(text.ids), model.head.out_features))
    model.eval()
    with torch.no_grad():
        for indices in text.by_length(size):
            found[indices] = model(text.batch(indices, str(model.head.weight.device))).cpu()
    return found


def divergence(wanted: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence of each sentence from its digital outputs [nats], (sentences,)."""
    p, q = (torch.log_softmax(z.double(), dim=1) for z in (wanted, found))
    return (p.exp() * (p - q)).sum(dim=1)
