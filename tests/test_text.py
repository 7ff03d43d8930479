"""Credentials are recognised by where they stand in a URL, and control characters are shown as escapes."""

from __future__ import annotations

import pytest

from livecam.text import number, printable, redacted, with_urls_redacted

CREDENTIALS = {
    "http://secret:secret@host/clip.mp4": "http://host/clip.mp4",
    "rtsp://secret@host:554/stream": "rtsp://host:554/stream",
    "rtsp://user:secret@secret@host/stream": "rtsp://host/stream",
    "rtsp://user:secret/secret@host/stream": "rtsp://***",
    "rtsp://user:12/secret@host/stream": "rtsp://***",
    "rtsp://user:secret?secret@host/stream": "rtsp://***",
    "rtsp://user:secret#secret@host/stream": "rtsp://***",
    "rtsp://user:secret secret@host/stream": "rtsp://***",
    "rtsp://user:secret\\secret@host/stream": "rtsp://***",
    "rtsp://user:secret": "rtsp://***",
    "rtsp://user%3Asecret%40host/stream": "rtsp://***",
    "http:/user:secret@host/clip.jpg": "http:/host/clip.jpg",
    "http:///user:secret@host/clip.mp4": "http:///host/clip.mp4",
    "http://secret:secret@[::1]:8080/clip.mp4": "http://[::1]:8080/clip.mp4",
    "http://host/clip.mp4?token=secret": "http://host/clip.mp4?***",
    "http://host/clip.mp4?a=1&X-Goog-Credential=secret%40project&b=secret": "http://host/clip.mp4?***",
    "http://host/clip.mp4?secret": "http://host/clip.mp4?***",
    "http://host?secret": "http://host?***",
    "http://host/clip.mp4#access_token=secret": "http://host/clip.mp4#***",
    "http://host/clip.mp4;token=secret": "http://host/clip.mp4;***",
    "http://host/clip.mp4;jsessionid=secret/more": "http://host/clip.mp4;***",
    "http://host/clip.mp4&token=secret": "http://host/clip.mp4***",
    "http://host/token=secret/clip.mp4": "http://host/token***",
    "http://host/clip.mp4%3Ftoken=secret": "http://host/clip.mp4***",
    "http://host/proxy/http://user:secret@inner/clip.mp4": "http://***",
    "http://host/proxy/http://inner/secret": "http://host/proxy/***",
    "http://host/proxy/https%3A%2F%2Finner/secret": "http://host/proxy/https***",
    "cache:http://user:secret@host/clip.mp4": "cache:http://host/clip.mp4",
    "concat:http://host/a.mp4|http://user:secret@host/b.mp4": "concat:http://***",
    "rtmp://host/app/name pubUser=u pubPasswd=secret": "rtmp://host/app/name***",
    "srt://host:9000?streamid=publish&passphrase=secret": "srt://host:9000?***",
    "HTTPS://host/clip.mp4?SIG=secret": "HTTPS://host/clip.mp4?***",
}
NO_CREDENTIALS = [
    "http://host/clip.mp4",
    "http://host:8080/a/b.c/clip%20one.mp4",
    "https://host/~user/2024-01-01_12.00.00,x+y.mp4",
    "http://[fe80::1%25eth0]/clip.mp4",
    "rtsp://192.168.1.20:554/",
    "http://hôte/vidéo.mp4",
    "udp://239.0.0.1:1234",
    "clip?token=1.mp4",
    "a@b#c;d.mp4",
    "C:/clips/a@b.mp4",
    "C:\\clips\\a@b.mp4",
    "file:///clips/a@b.mp4",
    "demo:?size=64x64&seed=1",
    "package.module:make",
    "",
]


@pytest.mark.parametrize("url", CREDENTIALS)
def test_of_a_url_scheme_host_and_path_are_shown(url: str) -> None:
    assert redacted(url) == CREDENTIALS[url]


@pytest.mark.parametrize("name", NO_CREDENTIALS)
def test_what_holds_no_credentials_is_unchanged(name: str) -> None:
    assert redacted(name) == with_urls_redacted(name) == name
    assert with_urls_redacted(f"cannot open {name}: no answer") == f"cannot open {name}: no answer"


@pytest.mark.parametrize("url", CREDENTIALS)
def test_what_was_redacted_stays_as_it_is_in_a_text(url: str) -> None:
    shown = CREDENTIALS[url]
    assert redacted(shown) == shown
    assert with_urls_redacted(f"cannot open {shown}: no answer") == f"cannot open {shown}: no answer"


@pytest.mark.parametrize("url", [url for url in CREDENTIALS if " " not in url])
@pytest.mark.parametrize("text", ["cannot open {}: no answer", "[Errno 5] I/O error: '{}'", "({}), and more", "{}"])
def test_each_url_in_a_text_is_redacted(url: str, text: str) -> None:
    assert with_urls_redacted(text.format(url)) == text.format(CREDENTIALS[url])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢字 ✓ ❤", "plain ü 漢字 ✓ ❤"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202egpj.exe\u2028\u2066", r"\u202egpj.exe\u2028\u2066"),
        ("\udce4 is no UTF-8", r"\udce4 is no UTF-8"),
        ("C:\\clips", "C:\\clips"),
    ],
)
def test_what_would_control_the_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (58.24, "58.2"),
        (58.0, "58.0"),
        (-3.14159, "-3.14"),
        (0.04567, "0.0457"),
        (1234.5, "1230"),
        (9.999, "10.00"),
        (0.0, "0.00"),
        (-2e-7, "-0.000000200"),
        (float("nan"), "nan"),
        (-float("inf"), "-inf"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text
