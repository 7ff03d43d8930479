"""Runs one section: `python -m livecam.doctor.probe MODULE:FUNCTION` prints a JSON line for each check."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict

from livecam.system.cores import spare_collector


def main() -> None:
    """Print each check as soon as it is known; an exception ends the process with its traceback and exit code 1."""
    spare_collector()
    module, _, function = sys.argv[1].partition(":")
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as report:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps what libraries print out of the report
        for check in getattr(importlib.import_module(module), function)():
            print(json.dumps(asdict(check)), file=report, flush=True)


if __name__ == "__main__":
    main()
