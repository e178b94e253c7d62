"""``python -m hybridsim``, and the ``hybridsim`` script."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback while Python still imports."""
    try:
        from hybridsim.cli import main as called

        called()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
