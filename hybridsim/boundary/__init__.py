"""The one boundary: all text, numbers and paths from outside, and all files, pass here.

Each thing has a budget (size, depth, length, digits) and one form of error: a
:class:`~hybridsim.errors.SpecError` that names the file or option, the place in it, what was found
and what would do. What a command reads, it reads from here (``tests/test_boundary.py``).
"""
