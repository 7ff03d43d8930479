"""Runs the command line as `livecam`, and as `python -m livecam`."""

import signal


def main() -> None:
    """Run the program. Until a command begins, Ctrl-C ends it at once, without a traceback of the imports."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from livecam.cli import main as run

    run()


if __name__ == "__main__":
    main()
