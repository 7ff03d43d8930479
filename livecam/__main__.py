"""Runs the command line as `python -m livecam`."""

from livecam.cli import main

if __name__ == "__main__":
    main()
