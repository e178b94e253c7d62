"""What a cluster executes: kernels with their units, before a scheduler orders them."""

from hybridsim.programs.lora import CHOICES, Kernel, LoraChoice, LoraProgram

__all__ = ["CHOICES", "Kernel", "LoraChoice", "LoraProgram"]
