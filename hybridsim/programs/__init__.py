"""What a cluster executes: kernels with their units, before a strategy orders them."""

from hybridsim.programs.lora import BALANCED, CHOICES, Kernel, LoraChoice, LoraProgram

__all__ = ["BALANCED", "CHOICES", "Kernel", "LoraChoice", "LoraProgram"]
