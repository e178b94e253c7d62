"""The command line: each command is also a Python call."""

from hybridsim.cli.app import app, main

__all__ = ["app", "main"]
