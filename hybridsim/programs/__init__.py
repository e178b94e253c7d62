"""What a cluster executes: kernels with their units, before a strategy orders them."""

from hybridsim.programs.lora import LoraProgram
from hybridsim.programs.lora_choices import (
    BALANCED,
    CHOICES,
    LoraChoice,
    OrderOption,
    on_machine,
)
from hybridsim.programs.lora_kernels import Kernel

__all__ = [
    "BALANCED",
    "CHOICES",
    "Kernel",
    "LoraChoice",
    "LoraProgram",
    "OrderOption",
    "on_machine",
]
