"""The version of hybridsim."""

__version__ = "0.1.0"
