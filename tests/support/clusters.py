"""A Ray cluster of a test: its head in a process of its own, and its workers, which may be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

TOKEN = "0123456789abcdef" * 4


@contextmanager
def environment_for_ray() -> Iterator[dict[str, str]]:
    """Variables with which Ray leaves the user's folders alone, and its processes are known by their folder."""
    folder = tempfile.mkdtemp(prefix="ray")  # a short name: those of sockets in it may have 107 characters
    try:
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "RAY_TMPDIR": folder,
            "TMPDIR": folder,
            "RAY_AUTH_TOKEN": TOKEN,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def head(environment: dict[str, str], cores: int) -> Iterator[tuple[str, str]]:
    """A head that runs until the end of the block; yields its address and that for clients."""
    port, client_port = _free_port(), _free_port()
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--disable-usage-stats"]
    options = [f"--port={port}", f"--ray-client-server-port={client_port}", f"--num-cpus={cores}"]
    with subprocess.Popen(
        [*command, *options, "--include-dashboard=false", "--object-store-memory=80000000"],
        # A busy machine may take longer than the usual half a minute to let a client in.
        env={**environment, "RAY_AUTH_MODE": "token", "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert any("Ray runtime started" in line for line in process.stdout)
            _wait_for(client_port)
            yield f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}"
        finally:
            process.terminate()
            process.communicate()


def _free_port() -> int:
    """A port outside of those that Ray gives to its workers."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = int(server.getsockname()[1])
        if not 10_000 <= port < 20_000:
            return port


def _wait_for(port: int) -> None:
    deadline_seconds = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline_seconds
            time.sleep(0.1)


def workers_of(environment: dict[str, str]) -> list[int]:
    """The processes of livecam's workers in this cluster that are annotating."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if (process / "cmdline").read_bytes().startswith(b"ray::Worker.annotate"):
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                if environment["RAY_TMPDIR"] in Path("/proc", parent, "cmdline").read_text():
                    found.append(int(process.name))
    return found


class Killer:
    """Kills workers while they are writing, until the end of the block, each file's at most once.

    So no file uses up the times that it is begun again, after which it would fail.

    Args:
        environment: That of the cluster.
        output: The folder of their outputs.
        kills: How many to kill.

    Attributes:
        killed: How many were killed.
    """

    def __init__(self, environment: dict[str, str], output: Path, kills: int) -> None:
        self.killed = 0
        self._environment, self._output, self._kills = environment, output, kills
        self._hit: set[Path] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while self.killed < self._kills and not self._ending.wait(0.01):
            with suppress(OSError):  # what was there has gone meanwhile
                self._kill_one()

    def _kill_one(self) -> None:
        for part in self._output.glob("*.part"):
            if part not in self._hit and part.stat().st_size and (writer := self._writer_of(part)):
                os.kill(writer, signal.SIGKILL)
                self._hit.add(part)
                self.killed += 1
                return

    def _writer_of(self, part: Path) -> int | None:
        """The worker that has a part open; None if it has just been finished."""
        for worker in workers_of(self._environment):
            with suppress(OSError):  # it has ended, or closed a file meanwhile
                if any(file.exists() and file.samefile(part) for file in Path(f"/proc/{worker}/fd").iterdir()):
                    return worker
        return None

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
