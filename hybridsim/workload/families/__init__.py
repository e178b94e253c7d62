"""A Hugging Face config.json as a network."""

from collections.abc import Callable, Mapping
from typing import Any

from hybridsim.errors import SpecError, did_you_mean
from hybridsim.specs import shown, validate
from hybridsim.workload.adapters import AdapterSpec
from hybridsim.workload.families.bert import build_bert, build_distilbert
from hybridsim.workload.families.builder import HEADS, Body, Head
from hybridsim.workload.families.gpt2 import build_gpt2
from hybridsim.workload.families.llama import build_llama
from hybridsim.workload.families.mobilebert import build_mobilebert
from hybridsim.workload.families.t5 import build_t5
from hybridsim.workload.families.vit import build_vit
from hybridsim.workload.graph import Network

BUILDERS: Mapping[str, Callable[[Mapping[str, Any], Head, str], Body]] = {
    "bert": build_bert,
    "distilbert": build_distilbert,
    "gpt2": build_gpt2,
    "llama": build_llama,
    "mobilebert": build_mobilebert,
    "t5": build_t5,
    "vit": build_vit,
}
"""What turns a config of each ``model_type`` into ops; a new family is one file and one line."""


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
) -> Network:
    """Return the network that a published config.json describes.

    ``file`` is how messages call the config; ``source`` says where it comes from.

    Raises:
        SpecError: The model type is not supported, a key is missing or has a value of no use, or
            what the caller asked for (head, adapters, sequence length) does not fit.
    """
    body = body_from_config(config, head, file)
    fields = {
        "name": name,
        "source": source,
        "reference": reference,
        "sequence_length": sequence_length,
        "max_sequence_length": body.max_sequence_length,
        "ops": body.ops,
        "adapters": adapters,
    }
    return validate(Network, fields, file)


def body_from_config(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops that a published config.json describes, with a head.

    Raises:
        SpecError: The model type or the head is not supported, or a key is missing or has a
            value of no use.
    """
    if head not in HEADS:
        raise SpecError(file, "head", f"found {head!r}; one of {', '.join(HEADS)} would do")
    supported = f"one of {', '.join(sorted(BUILDERS))} would do"
    if "model_type" not in config:
        raise SpecError(file, "", f"key 'model_type' is missing; {supported}")
    found = config["model_type"]
    if not isinstance(found, str) or found not in BUILDERS:
        guess = did_you_mean(found[:60], BUILDERS) if isinstance(found, str) else ""
        raise SpecError(file, "model_type", f"found {shown(found)}{guess}; {supported}")
    return BUILDERS[found](config, head, file)
