"""A Hugging Face config.json as a network: families are data, and one reader turns them to ops."""

from collections.abc import Mapping
from typing import Any, Literal

from hybridsim.errors import SpecError, did_you_mean
from hybridsim.outside import from_outside, offered
from hybridsim.specs import shown, validate
from hybridsim.workload.adapters import AdapterSpec
from hybridsim.workload.families.builder import HEADS, Body, Head
from hybridsim.workload.families.decoders import DECODERS
from hybridsim.workload.families.description import Family
from hybridsim.workload.families.encoders import ENCODERS
from hybridsim.workload.families.old import recognised
from hybridsim.workload.families.pairs import PAIRS, one_stack
from hybridsim.workload.families.reader import build
from hybridsim.workload.families.senses import SENSES
from hybridsim.workload.graph import Network

FAMILIES: dict[str, Family] = {**ENCODERS, **DECODERS, **PAIRS, **SENSES}
"""What describes the models of each ``model_type``; a new family is one entry here."""
REFUSED = {
    "squeezebert": "its layers are grouped convolutions of one token, no linear layers, so that "
    "there is nothing that an adapter on linear layers adapts",
}
"""Model types that have no family for a reason."""
_WELL_KNOWN = ("bert", "gpt2", "llama", "t5", "vit")
Part = Literal["encoder", "decoder"]
"""One of the two stacks of an encoder-decoder."""


def network_from_config(
    config: Mapping[str, Any],
    *,
    name: str,
    source: str,
    file: str = "config.json",
    head: Head = "none",
    adapters: AdapterSpec | None = None,
    sequence_length: int | None = None,
    reference: str | None = None,
    stack: Part | None = None,
) -> Network:
    """Return the network that a published config.json describes.

    ``file`` is how messages call the config; ``source`` says where it comes from; ``stack`` takes
    one stack of an encoder-decoder alone.

    Raises:
        SpecError: The model type is not supported, a key is missing or has a value of no use, two
            keys disagree, or what the caller asked for (head, adapters, sequence length) does not
            fit.
    """
    body = body_from_config(config, head, file, stack)
    if "model_type" not in config:
        source += f", without model_type: read as {recognised(config)[0]} by its keys"
    fields = {
        "name": name,
        "source": source,
        "reference": reference,
        "sequence_length": sequence_length or body.sequence_length,
        "max_sequence_length": body.max_sequence_length,
        "not_modelled": body.not_modelled,
        "ops": body.ops,
        "adapters": adapters,
    }
    return validate(Network, fields, file)


def body_from_config(
    config: Mapping[str, Any], head: Head, file: str, stack: Part | None = None
) -> Body:
    """Return the ops that a published config.json describes, with a head.

    A model type without a family is read from the modules that transformers makes of it, where
    that is installed.

    Raises:
        SpecError: The model type or the head is not supported, or a key is missing or has a
            value of no use.
    """
    if "model_type" not in config:
        found, config = recognised(config)
        if not found:
            problem = (
                "key 'model_type' is missing, and the others are those of no family; one of "
                f"{', '.join(_WELL_KNOWN)} or {len(FAMILIES) - len(_WELL_KNOWN)} more would do"
            )
            raise SpecError(file, "", problem)
    else:
        found = config["model_type"]
    if not isinstance(found, str):
        raise SpecError(file, "model_type", f"found {shown(found)}; text would do")
    family = FAMILIES.get(found)
    if family is None and head not in HEADS:  # a family says which it has itself
        raise SpecError(file, "head", f"found {head!r}; one of {', '.join(HEADS)} would do")
    if family is None and found in offered("family"):
        made = from_outside(found, "family")
        if not isinstance(made, Family):
            built = made(config, head, file)
            if not isinstance(built, Body):
                name = f"entry point {found} of hybridsim.families"
                raise SpecError(name, "", f"returned {shown(built)}; a Body would do")
            return built
        family = made
    if family is None:
        return _from_modules(config, found, file)
    which = stack or _meant(found, config)
    if which is not None:
        if len(family.stacks) < 2 or family.stacks[0].section:
            raise SpecError(
                file, "stack", f"found {which!r}; a {found} has one stack; none would do"
            )
        family = one_stack(family, which)
    return build(family, config, head, file, found)


def _meant(model_type: str, config: Mapping[str, Any]) -> Part | None:
    """Return the stack of T5 that a config means, if it is one: transformers says it so."""
    if "t5" not in model_type:
        return None
    if config.get("is_decoder") is True:
        return "decoder"
    return "encoder" if config.get("is_encoder_decoder") is False else None


def _from_modules(config: Mapping[str, Any], found: str, file: str) -> Body:
    """Return a body from the modules of transformers' model.

    Raises:
        SpecError: The type is refused, or transformers is not installed or does not know it.
    """
    if found in REFUSED:
        raise SpecError(file, "model_type", f"found {found!r}: {REFUSED[found]}")
    guess = did_you_mean(found[:60], FAMILIES) or f"; the nearest is {_nearest(found)!r}"
    unknown = f"found {shown(found)}, which has no family here{guess}"
    from hybridsim.workload.families import module_tree  # only where there is no family

    if reason := module_tree.why_not():
        problem = f"{unknown}; {reason} would read its linear layers"
        raise SpecError(file, "model_type", problem)
    try:
        return module_tree.body(config, file)
    except SpecError as error:
        raise SpecError(file, "model_type", f"{unknown}; {error.problem}") from None


def _nearest(found: str) -> str:
    """Return the family with the most similar name."""
    from difflib import get_close_matches

    near = get_close_matches(found[:60], FAMILIES, n=1, cutoff=0.0)
    return near[0] if near else next(iter(FAMILIES))
