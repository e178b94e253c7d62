"""``python -m hybridsim``, and the ``hybridsim`` script."""

import gc
import os
import sys

_MORE = 300_000
"""Objects made before cycles among them are looked for. Next to none of what a command makes is in
a cycle, and to look for them at Python's own 700 took a tenth of a run."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback while Python still imports."""
    # it would look through all that is installed; what it reads here asks for no plugin
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(_MORE, *gc.get_threshold()[1:])
    try:
        from hybridsim.cli import main as called

        called()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # what is left goes with the process: to look for cycles took a sixth of a run


if __name__ == "__main__":
    main()
