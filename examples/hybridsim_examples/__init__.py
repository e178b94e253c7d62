"""A strategy and two parts of one's own, outside of hybridsim."""
