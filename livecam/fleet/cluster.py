"""A Ray cluster: joining it, starting one on this machine, and what its machines have room for."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livecam.errors import LivecamError, OptionError, in_one_line

log = logging.getLogger("livecam")

OWN, OF_THIS_MACHINE, CLIENT = "ray", "auto", "ray://"
"""What may stand for an address: a cluster that is started here, the one that this machine is part of, and the prefix
of an address that is joined from outside."""
_KNOCK_SECONDS = 10
_COLOURS = re.compile(r"\x1b\[\d+m")
_OBJECT_STORE_BYTES = 100 << 20
"""Of a cluster that is started here. Results have some hundred bytes."""
_MOST_CORES = 2
"""That a worker without a GPU takes if nothing else is said: two workers of one core do more than one of two, but each
needs the memory of a model."""


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Join a cluster inside the block, or start one on this machine that ends with the block.

    Args:
        address: `ray` for one of this machine alone, or what RAY_ADDRESS names; `auto` for the one that this machine is
            part of; HOST:PORT of its head, from a machine of the cluster; ray://HOST:10001 from anywhere.

    Yields:
        The module `ray`.

    Raises:
        LivecamError: Ray is not installed, there is no such cluster, or it does not let this command in.
    """
    check_installed()
    address = os.environ.get("RAY_ADDRESS") or OWN if address == OWN else address
    if token() is not None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray shows it to a named address only if told so
    if address == OWN:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        facts: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    else:
        facts = {}
        knock(address)
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            "local" if address == OWN else address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
            **facts,
        )
    except Exception as exc:  # of Ray, gRPC or the system, by way of many classes
        raise LivecamError(f"cannot join the cluster {address}: {_reason(exc)}") from exc
    finally:
        signal.signal(signal.SIGTERM, terminate)  # Ray replaces it by its own
    with redirect_stdout(_Details()):
        try:
            yield ray
        finally:
            ray.shutdown()  # until then Ray may print


def _reason(exc: Exception) -> str:
    """Return what an error of Ray says in one line; one of its server ends a traceback."""
    lines = [line for line in str(exc).splitlines() if line.strip()]
    return in_one_line(lines[-1] if "Traceback" in str(exc) else exc)


class _Details(io.TextIOBase):
    """Takes what Ray prints to standard output whatever it is told, such as that a worker has died, as details."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, _COLOURS.sub("", text).splitlines())):
            log.debug("Ray: %s", line)
        return len(text)


def check_installed() -> None:
    """Raise LivecamError if Ray is not installed, with all that joining a cluster needs."""
    if any(importlib.util.find_spec(name) is None for name in ("ray", "grpc")):
        raise LivecamError("Ray is not installed; install it with: pip install 'livecam[ray]'")


@dataclass(frozen=True)
class Token:
    """The token that this machine shows to a cluster, and where it was found."""

    text: str
    place: str

    @property
    def mark(self) -> str:
        """Four hexadecimal digits by which tokens can be compared, and which do not tell them."""
        return hashlib.sha256(f"livecam {self.text}".encode()).hexdigest()[:4]


def token() -> Token | None:
    """Find the token as Ray does; None if there is none. Raises LivecamError if the file that is named has none."""
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(text, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if named and not text:
        raise LivecamError(f"RAY_AUTH_TOKEN_PATH names {path}, which has no token; ray get-auth-token prints one")
    return Token(text, str(path)) if text else None


def address_here() -> str | None:
    """Return the address of the cluster that this machine is part of; None if it is part of none that Ray knows of."""
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    folder = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray"
    with suppress(OSError):
        return (folder / "ray_current_cluster").read_text(encoding="utf-8").strip() or None
    return None


def knock(address: str) -> None:
    """Find out in a moment if a cluster answers, and lets this machine in. Raises LivecamError.

    Without that, Ray tries for up to two minutes and ends without a reason.
    """
    if address == OF_THIS_MACHINE:
        if (here := address_here()) is None:
            raise LivecamError("this machine is part of no cluster; start one with ray start --head, or name its head")
        address = here
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    host = address.removeprefix(CLIENT)
    if not host.rpartition(":")[0] or not host.rpartition(":")[2].isdecimal():
        raise OptionError(f"{address} is no address of a cluster; say ray, auto, HOST:6379 or ray://HOST:10001")
    import grpc

    question = "RayletDriver/ClusterInfo" if address.startswith(CLIENT) else "NodeInfoGcsService/CheckAlive"
    shown = None if os.environ.get("RAY_AUTH_MODE") == "disabled" else token()
    with grpc.insecure_channel(host) as channel:
        try:
            channel.unary_unary(f"/ray.rpc.{question}")(
                b"",
                timeout=_KNOCK_SECONDS,
                metadata=[("authorization", f"Bearer {shown.text}")] if shown else [],
            )
        except grpc.RpcError as exc:
            code = exc.code()
            if code == grpc.StatusCode.UNAUTHENTICATED:
                ours = f"another token than that of {shown.place}" if shown else "a token"
                raise LivecamError(
                    f"the cluster {address} asks for {ours}; take the same on all machines: where its head runs, "
                    "ray get-auth-token prints it, and here it belongs into ~/.ray/auth_token"
                ) from exc
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise LivecamError(
                    f"no cluster answers at {address}; check the address, and that ray start --head runs there"
                ) from exc


@dataclass(frozen=True)
class Machine:
    """What a machine of the cluster offers in all."""

    cores: int
    gpus: int


@dataclass(frozen=True)
class Place:
    """What a worker takes of its machine, and how many workers the cluster has room for."""

    cores: int
    gpus: float
    count: int


def machines(ray: Any) -> list[Machine]:
    """Return the machines of a cluster that take part in the work."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(int(each["CPU"]), int(each.get("GPU", 0))) for each in found if each.get("CPU", 0) >= 1]


def place_among(found: Sequence[Machine], *, device: str, cores: int | None, per_gpu: int | None) -> Place:
    """Return what each worker takes.

    Args:
        found: The machines.
        device: That of the explainer: "auto" takes GPUs if there are any, and then only the machines that have some.
        cores: How many cores a worker takes. None: of a machine with GPUs an equal share, else two.
        per_gpu: How many workers share a GPU; None for one.

    Raises:
        LivecamError: There is no machine for such workers.
    """
    with_gpus = [each for each in found if each.gpus] if device.startswith(("auto", "cuda")) else []
    if not with_gpus and (per_gpu or device.startswith("cuda")):
        raise LivecamError(
            "no machine of the cluster has a GPU that Ray knows of; leave out --per-gpu and --device cuda"
        )
    among, sharing = with_gpus or found, per_gpu or 1
    if not among:
        raise LivecamError("no machine of the cluster has cores to work with; see ray status")
    share = min(each.cores // (each.gpus * sharing) if with_gpus else min(each.cores, _MOST_CORES) for each in among)
    wanted = cores or max(share, 1)
    count = sum(min(each.cores // wanted, each.gpus * sharing if with_gpus else each.cores) for each in among)
    if not count:
        most = max(each.cores for each in among)
        raise LivecamError(f"no machine of the cluster has {wanted} cores for a worker; say --cores {most} or fewer")
    return Place(wanted, 1 / sharing if with_gpus else 0, count)
