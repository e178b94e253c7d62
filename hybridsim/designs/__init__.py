"""What to build for a network under limits: machine, strategy and adapters, with proof."""

from hybridsim.designs.answer import Design
from hybridsim.designs.asking import Question, asked
from hybridsim.designs.run import design, design_of

__all__ = ["Design", "Question", "asked", "design", "design_of"]
