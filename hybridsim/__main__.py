"""``python -m hybridsim``, and the ``hybridsim`` script."""

import gc
import sys

_MORE = 300_000
"""Objects made before cycles among them are looked for. Next to none of what a command makes is in
a cycle, and to look for them at Python's own 700 took a tenth of a run."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback while Python still imports."""
    gc.set_threshold(_MORE, *gc.get_threshold()[1:])
    try:
        from hybridsim.cli import main as called

        called()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
