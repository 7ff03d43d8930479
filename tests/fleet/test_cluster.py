"""Whether a cluster lets a machine in, found out before Ray tries, and what doctor says of it. The head is a double."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from livecam.doctor import Check
from livecam.doctor.cluster import cluster
from livecam.errors import LivecamError
from livecam.fleet.cluster import joined, knock, token

grpc = pytest.importorskip("grpc")
pytest.importorskip("ray")

OURS, OTHER = "a" * 64, "b" * 64


class Head(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers the two questions by which livecam knocks, to those who show the token."""

    def service(self, details: Any) -> Any:
        methods = ("/ray.rpc.NodeInfoGcsService/CheckAlive", "/ray.rpc.RayletDriver/ClusterInfo")
        return grpc.unary_unary_rpc_method_handler(self._answer) if details.method in methods else None

    def _answer(self, request: bytes, context: Any) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {OURS}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid or missing authentication token")
        return b""


@pytest.fixture
def head() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Head()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a token, which is part of no cluster."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_ADDRESS", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


def put_token(home: Path, text: str) -> None:
    (home / ".ray").mkdir(exist_ok=True)
    (home / ".ray" / "auth_token").write_text(text + "\n")


def checks() -> dict[str, Check]:
    return {check.name: check for check in cluster()}


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_cluster_lets_in_who_shows_its_token(head: str, home: Path, prefix: str) -> None:
    put_token(home, OURS)
    knock(prefix + head)


@pytest.mark.parametrize("prefix", ["", "ray://"])
@pytest.mark.parametrize(("ours", "problem"), [(OTHER, "asks for another token than that of "), (None, "for a token;")])
def test_it_says_that_the_token_is_the_matter(
    head: str, home: Path, prefix: str, ours: str | None, problem: str
) -> None:
    if ours:
        put_token(home, ours)
    with pytest.raises(LivecamError, match=problem) as error, joined(prefix + head):
        pass
    assert OTHER not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_token_may_be_named(head: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_token(home, OTHER)
    (home / "token").write_text(OURS)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "token"))
    knock(head)
    monkeypatch.setenv("RAY_AUTH_TOKEN", OTHER)
    with pytest.raises(LivecamError, match="than that of RAY_AUTH_TOKEN;"):
        knock(head)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nowhere"))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(LivecamError, match="nowhere, which has no token"):
        token()


def test_what_ray_prints_until_its_end_is_no_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a worker that is ended while it begins, Ray says so when all is done."""
    caplog.set_level(logging.DEBUG)
    line = "\x1b[33m(raylet)\x1b[0m Task Worker.begin failed."
    double = SimpleNamespace(init=lambda *options, **facts: None, shutdown=lambda: print(line))
    monkeypatch.setattr("livecam.fleet.cluster.check_installed", lambda: None)
    monkeypatch.setitem(sys.modules, "ray", double)
    with joined("ray"):
        pass
    assert capsys.readouterr().out == ""
    assert "Ray: (raylet) Task Worker.begin failed." in caplog.messages


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_address_names_no_cluster(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    asked: list[str] = []
    double = SimpleNamespace(init=lambda address, **facts: asked.append(address), shutdown=lambda: None)
    monkeypatch.setattr("livecam.fleet.cluster.check_installed", lambda: None)
    monkeypatch.setitem(sys.modules, "ray", double)
    with joined("ray"):
        pass
    assert asked == ["local"]


def test_doctor_says_if_the_cluster_of_this_machine_lets_it_in(head: str, home: Path) -> None:
    assert {name: check.state for name, check in checks().items()} == {
        "ray": "ok",
        "token": "absent",
        "cluster": "absent",
    }
    (home / "ray").mkdir()
    (home / "ray" / "ray_current_cluster").write_text(head)
    assert checks()["cluster"].state == "problem"
    put_token(home, OTHER)
    other = checks()
    assert other["cluster"].state == "problem"
    put_token(home, OURS)
    ours = checks()
    assert (ours["token"].state, ours["cluster"].fact) == ("ok", f"{head} lets this machine in")
    assert ours["token"].fact != other["token"].fact
    assert OURS[:8] not in ours["token"].fact


def test_doctor_warns_of_a_cluster_that_lets_all_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert checks()["token"].state == "problem"
    assert "RAY_AUTH_MODE" in checks()["token"].fact
