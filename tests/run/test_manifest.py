"""The manifest of an output folder: what was noted is known afterwards, by whichever process it was noted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from livecam.run.manifest import Entry, Manifest
from tests.support.disks import largest_file


def manifest(folder: Path) -> Manifest:
    folder.mkdir(exist_ok=True)
    return Manifest(folder, lambda: {"model": "shapes"})


def entry(output: str = "a.png", output_bytes: int = 7) -> Entry:
    return Entry(output, output_bytes, "/in/a.png", {"bytes": 3, "mtime_ns": 2**62}, "f" * 64, {"read": 1})


def files(folder: Path) -> list[Path]:
    return sorted((folder / ".livecam").iterdir())


def test_what_was_noted_is_known_by_all_who_read_later(tmp_path: Path) -> None:
    with manifest(tmp_path) as writer:
        writer.begin({"a.png": "/in/a.png", "b\udc80.png": "/in/b\udc80.png"})  # a byte that is no UTF-8
        writer.record(entry())
        for each in (writer, manifest(tmp_path)):
            assert each.entry("a.png") == entry()
            assert each.origin("a.png") == "/in/a.png"
            assert (each.entry("b\udc80.png"), each.origin("b\udc80.png")) == (None, "/in/b\udc80.png")
            assert (each.entry("c.png"), each.origin("c.png")) == (None, None)


def test_nothing_is_made_where_nothing_is_noted(tmp_path: Path) -> None:
    with manifest(tmp_path) as writer:
        writer.begin({})
        assert writer.entry("a.png") is None
    assert list(tmp_path.iterdir()) == []


def test_each_process_has_a_file_of_its_own_and_the_newest_line_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manifest(tmp_path) as first, manifest(tmp_path) as second:
        for seconds, writer, output_bytes in ((30.0, first, 3), (10.0, first, 1), (20.0, second, 2)):
            monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
            writer.record(entry(output_bytes=output_bytes))
    assert len(files(tmp_path)) == 2
    assert manifest(tmp_path).entry("a.png") == entry(output_bytes=3)


def test_what_is_begun_again_is_not_finished(tmp_path: Path) -> None:
    with manifest(tmp_path) as writer:
        writer.record(entry())
        writer.begin({"a.png": "/in/a.png"})
        for each in (writer, manifest(tmp_path)):
            assert (each.entry("a.png"), each.origin("a.png")) == (None, "/in/a.png")


def test_lines_that_are_torn_or_of_something_else_are_passed_over(tmp_path: Path) -> None:
    with manifest(tmp_path) as writer:
        writer.record(entry("a.png"))
        writer.record(entry("b.png"))
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    lines = ['{"time": "now", "done": [], "begun": 3}', '{"done": {"output": "c.png"}}', "3", "{", "\udcff", ""]
    for cut in (*range(4), *range(4, len(whole.splitlines()[1]), 20)):
        torn = whole[: len(whole) - cut]
        file.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n" + torn)
        assert manifest(tmp_path).entry("a.png") == entry("a.png")
        assert manifest(tmp_path).entry("b.png") == (entry("b.png") if cut <= 1 else None)
        assert manifest(tmp_path).origin("c.png") is None


def test_a_manifest_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".livecam").write_text("in the way")
    with manifest(tmp_path) as writer:
        writer.begin({"a.png": "/in/a.png"})
        writer.record(entry())
        assert writer.entry("a.png") == entry()
    (message,) = caplog.messages
    assert "--resume will not know these outputs" in message


def test_a_line_that_a_full_disk_tears_takes_no_other_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with manifest(tmp_path) as writer:
        writer.record(entry("a.png"))
        with largest_file(files(tmp_path)[0].stat().st_size + 20):
            writer.record(entry("b.png"))  # of which twenty bytes fit
            writer.record(entry("c.png"))
        writer.record(entry("d.png"))
    known = manifest(tmp_path)
    assert [name for name in ("a.png", "b.png", "c.png", "d.png") if known.entry(name)] == ["a.png", "d.png"]
    assert ["--resume will not know these outputs" in message for message in caplog.messages] == [True]


def test_a_line_is_plain_data(tmp_path: Path) -> None:
    with manifest(tmp_path) as writer:
        writer.record(entry())
    line = json.loads(files(tmp_path)[0].read_text())
    assert line["done"]["output"] == "a.png"
    assert line["done"]["version"] == {"bytes": 3, "mtime_ns": 2**62}


def test_a_fingerprint_is_of_explainer_and_options_and_equal_everywhere(tmp_path: Path) -> None:
    known = manifest(tmp_path).fingerprint({"view": "overlay", "every": 1})
    assert known == manifest(tmp_path / "elsewhere").fingerprint({"every": 1, "view": "overlay"})
    assert known == "36894213b90d9e45ff208bbbb47d9f7036ca7c59cb370489d52f2617f121613f"
    assert known != manifest(tmp_path).fingerprint({"view": "overlay", "every": 2})
    assert known != Manifest(tmp_path, lambda: {"model": "other"}).fingerprint({"view": "overlay", "every": 1})
