"""Runs the command line as `livecam`, and as `python -m livecam`."""

import os
import signal
import sys
import threading


def main() -> None:
    """Run the program. Until a command begins, Ctrl-C ends it at once, without a traceback of the imports."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from livecam.cli import main as run

    try:
        run()
    except SystemExit as exc:
        if any(thread.name == "livecam-loading" for thread in threading.enumerate()):
            _end_at_once(exc.code)
        raise


def _end_at_once(code: object) -> None:
    """End without waiting for a model that is still loading: at its exit Python aborts if a thread is within torch."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
