"""``python -m hybridsim``."""

from hybridsim.cli import main

if __name__ == "__main__":
    main()
