"""Answers about what there is and what was written: ``list``, ``show``, ``machine`` and others."""

from typing import Literal

from pydantic import ConfigDict, Field, JsonValue

from hybridsim.described import Described


class ListAnswer(Described):
    """What is bundled."""

    machines: dict[str, list[str]]
    """Machine -> its variants, as in name:variant."""
    networks: list[str]
    """Bundled networks."""
    strategies: list[str]
    """Strategies, those of installed packages among them."""
    parts: list[str]
    """Parts of installed packages."""


class ShownMachine(Described):
    """A machine, resolved."""

    what: Literal["machine"]
    """Which of them it is."""
    machine: dict[str, JsonValue]
    """All its fields, as ``hybridsim schema machine`` describes them."""
    sources: dict[str, str]
    """Dotted path of a field -> where its number is from."""
    variants: dict[str, dict[str, JsonValue]]
    """Variant -> dotted path -> value."""


class ShownLayer(Described):
    """A static linear layer."""

    name: str
    """The layer's name."""
    block: int | None
    """Its block; null outside of all blocks."""
    in_features: int
    """Inputs."""
    out_features: int
    """Outputs."""
    adapter_rank: int
    """Rank of its adapter; 0 for none."""


class Counts(Described):
    """What transformers and PEFT count of a ``config.json``."""

    model_config = ConfigDict(extra="allow")

    adapter_parameters: int | None = None
    """Parameters of the adapters; null where PEFT refuses the model."""


class Check(Described):
    """A ``config.json`` beside transformers and PEFT."""

    adapter_rank: int
    """Rank of the adapters that are counted."""
    transformers: Counts
    """What these count."""
    equal: bool
    """Whether it is the same here."""


class ShownNetwork(Described):
    """A network, resolved."""

    what: Literal["network"]
    """Which of them it is."""
    name: str
    """The network's name."""
    source: str
    """Where it is from."""
    reference: str
    """What was published of it."""
    sequence_length: int | None
    """Tokens per sequence; null where the network names none."""
    ops: int
    """Ops of all kinds."""
    blocks: int
    """Transformer blocks."""
    static_linear_layers: int
    """Layers whose weights lie on tiles."""
    weights: int
    """Weights of all ops."""
    biases: int
    """Biases of all ops."""
    parameters: int
    """Parameters without adapters."""
    adapter_parameters: int
    """Parameters of the adapters."""
    adapters: dict[str, JsonValue] | None
    """Rank, alpha and targets of the adapters; null for none."""
    expert_weights: int = 0
    """Weights of experts, of which a token uses some."""
    convolutions: int = 0
    """Convolutions on tiles."""
    convolution_weights: int = 0
    """Their weights."""
    uses_of_shared_layers: int = 0
    """Uses of layers whose weights another layer has."""
    not_modelled: tuple[str, ...] = ()
    """What the model has and the simulator leaves out."""
    layers: list[ShownLayer]
    """The static linear layers."""
    check: Check | None = None
    """The counts of transformers and PEFT, with ``--check``."""


class FieldDifference(Described):
    """A field that two machines say differently."""

    path: str
    """Dotted path of the field."""
    first: JsonValue
    """What the first machine says."""
    second: JsonValue
    """What the second machine says."""
    first_source: str
    """Where that of the first is from."""
    second_source: str
    """Where that of the second is from."""


ShowAnswer = ShownMachine | ShownNetwork | list[FieldDifference]
"""A machine, a network, or with ``--diff`` what two machines say differently."""


class Estimate(Described):
    """A number that a machine lacked."""

    path: str
    """Dotted path of the field."""
    value: str | None
    """The estimate, with its unit; null where there is none."""
    source: str
    """Where it is from, or why there is none."""


class MachineFile(Described):
    """What ``hybridsim machine`` wrote."""

    file: str | None
    """The file that was written; null where nothing was to be written."""
    like: str
    """The machine that it goes out from."""
    estimates: tuple[Estimate, ...] = ()
    """What ``machine estimate`` looked for."""


class PageAnswer(Described):
    """The page that ``hybridsim report`` wrote again."""

    page: str
    """The file."""


class WarmUpAnswer(Described):
    """What ``hybridsim warm-up`` left."""

    kept_in: str | None
    """The folder with what was compiled; null where nothing can be written."""


class DoctorAnswer(Described):
    """What an issue needs to know; names neither a home nor a user."""

    program: dict[str, str]
    """Version of hybridsim and of Python, and where it lies."""
    machine: dict[str, str | int | None]
    """The system, the processor, its cores and the encoding."""
    libraries: dict[str, str | None]
    """Library -> its version; null where it is missing."""
    extras: dict[str, str | None]
    """Library of an extra -> its version; null where it is missing."""
    machine_code: dict[str, str] = Field(
        alias="machine code", description="What is shipped, and where the rest is kept."
    )
