"""The options of `livecam live` for a page: what they become, and which exclude each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from livecam.live.watch import watch
from livecam.web import WebOptions

Livecam = Callable[..., Result]
Shown = Callable[..., Any]


@pytest.fixture
def shown(livecam: Livecam, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Return the `window` that `watch` gets of a command line, or the message of what it refuses."""

    def run(*arguments: str) -> Any:
        windows: list[Any] = []
        monkeypatch.setattr("livecam.cli.live.begin_window_check", lambda: None)
        monkeypatch.setattr("livecam.live.watch.watch", lambda *args, **options: windows.append(options["window"]))
        result = livecam("live", *arguments)
        return windows[0] if windows else result.output.strip()

    return run


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ("demo:", True),
        ("demo: --show", True),
        ("demo: --show window", True),
        ("demo: --no-window", False),
        ("demo: --show browser", WebOptions()),
        ("browser:", WebOptions()),
        ("browser: --show browser --listen 9000", WebOptions(port=9000)),
        ("browser: --listen :0", WebOptions(port=0)),
        ("browser: --listen 192.168.1.5:9000", WebOptions("192.168.1.5", 9000)),
        ("browser: --listen gpu.example.org", WebOptions("gpu.example.org")),
        ("browser: --listen [::1]:9000", WebOptions("::1", 9000)),
        ("browser: --certificate c.pem --key k.pem", WebOptions(certificate="c.pem", key="k.pem")),
        ("0 --show browser --behind-proxy https://a.org", WebOptions(behind_proxy="https://a.org")),
    ],
)
def test_options_become_where_it_is_shown(shown: Shown, arguments: str, window: bool | WebOptions) -> None:
    assert shown(*arguments.split()) == window


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("demo: --listen 9000", "--listen is for a page; add --show browser"),
        ("demo: --behind-proxy https://a.org", "--behind-proxy is for a page; add --show browser"),
        ("demo: --show browser --no-window", "--show browser and --no-window exclude each other; leave out one"),
        ("browser: --no-window", "browser: is the camera of a page, which has to be shown; leave out --no-window"),
        ("browser: --show window", "browser: is the camera of a page, which has to be shown; leave out --show window"),
        ("browser: --listen 1.2.3.4:99999", "--listen: '1.2.3.4:99999' is not ADDRESS:PORT, such as 127.0.0.1:8765"),
        ("browser: --listen http://a:1", "--listen: 'http://a:1' is not ADDRESS:PORT, such as 127.0.0.1:8765"),
        ("browser: --listen a:", "--listen: 'a:' is not ADDRESS:PORT, such as 127.0.0.1:8765"),
        ("browser: --listen a:b", "--listen: 'a:b' is not ADDRESS:PORT, such as 127.0.0.1:8765"),
        ("browser: --listen ::1", "--listen: '::1' is not ADDRESS:PORT, such as 127.0.0.1:8765"),
        ("demo: --show clip.mp4", "--show takes no 'clip.mp4'; try: livecam live demo: "),
    ],
)
def test_what_excludes_each_other_is_refused(shown: Shown, arguments: str, message: str) -> None:
    assert message in shown(*arguments.split())


def test_settings_yield_to_what_is_typed(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVECAM_SHOW", "browser")
    monkeypatch.setenv("LIVECAM_LISTEN", "9000")
    assert shown("demo:") == WebOptions(port=9000)
    assert shown("demo:", "--no-window") is False
    assert shown("demo:", "--show", "window") is True
    monkeypatch.setenv("LIVECAM_WINDOW", "off")
    assert shown("demo:", "--show", "browser") == shown("browser:") == WebOptions(port=9000)
    monkeypatch.setenv("LIVECAM_SHOW", "window")
    assert shown("demo:") is False
    assert shown("browser:") == WebOptions(port=9000)


def test_a_file_cannot_take_the_encryption_away(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "livecam.toml").write_text('behind-proxy = "https://evil.example"')
    assert "behind-proxy has to be typed" in livecam("live", "browser:").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("annotate", "browser:"),
            "browser: is the camera of a page, which is only shown live; use: livecam live",
        ),
        (("annotate", "browser:front"), "browser:front names no source; use: livecam live browser:"),
        (("live", "browser:front", "--no-window", "--report", "r.json"), "browser:front names no source"),
        (("live", "browser:", "browser:"), "browser: is the camera of one page; name it once"),
        (("live", "demo:", "--show", "browser", "--key", "k.pem"), "--key needs a --certificate"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = livecam(*arguments)
    assert result.exit_code == 1
    assert words in result.output.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_the_library_says_that_a_pages_camera_needs_pages() -> None:
    with pytest.raises(Exception, match="pages have to be shown"):
        watch("browser:", "shapes", window=False, report="r.json")
