"""Processes that bind themselves to cores of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLAIM = """
import os, sys
from livecam.system import binding
binding._PATIENCE_SECONDS = 0
print(binding.claim_cores(int(sys.argv[1])), *sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes to cores")
def test_each_process_gets_cores_of_its_own_until_there_are_none(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(len(cores) + 1)
    ]
    claimed = [process.stdout.readline().split() for process in processes if process.stdout]
    for process in processes:
        process.communicate()
    bound = sorted(int(core) for done, *bound in claimed if done == "True" for core in bound)
    assert bound == cores
    (rest,) = (bound for done, *bound in claimed if done == "False")
    assert [int(core) for core in rest] == cores
