"""A file appears under its name only when it is complete, and two runs never write the same one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from livecam.errors import OutputError
from livecam.system.files import AtomicFile, check_distinct, check_writable, sweep_parts, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with AtomicFile(path) as file:
        file.write(b"0123")
        file.write(b"45")
        file.write_at_start(b"ab")
        file.write(b"6")
        assert path.read_bytes() == b"before"
        assert names(tmp_path) == ["file", "file.part"]
    assert path.read_bytes() == b"ab23456"
    assert names(tmp_path) == ["file"]


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), AtomicFile(tmp_path / "file") as file:
        file.write(b"half")
        raise ZeroDivisionError
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot write .*folder: Is a directory"):
        write_whole(tmp_path / "folder", b"what a folder cannot become")
    assert names(tmp_path) == ["folder"]


def test_what_an_earlier_run_left_is_kept_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("file.part", "file.1.part"):
        (tmp_path / name).write_bytes(b"all that is left")
    with AtomicFile(tmp_path / "file") as file:
        file.write(b"whole")
        assert file.part.name == "file.2.part"
    assert names(tmp_path) == ["file", "file.1.part", "file.part"]
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert (tmp_path / "file.part").read_bytes() == (tmp_path / "file.1.part").read_bytes() == b"all that is left"
    assert [line.partition(" is kept")[0] for line in caplog.messages] == [
        f"{tmp_path / 'file.part'}, {tmp_path / 'file.1.part'}"
    ]


def test_nothing_is_told_where_nothing_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write_whole(tmp_path / "file", b"whole")
    assert not caplog.messages


@pytest.mark.parametrize("target", ["precious", "not there", "/dev/null"])
def test_a_link_with_the_name_of_the_part_is_not_followed(tmp_path: Path, target: str) -> None:
    precious, link = tmp_path / "precious", tmp_path / "file.part"
    precious.write_bytes(b"precious")
    link.symlink_to(target)
    write_whole(tmp_path / "file", b"ours")
    assert (tmp_path / "file").read_bytes() == b"ours"
    assert precious.read_bytes() == b"precious"
    assert link.is_symlink()
    assert names(tmp_path) == ["file", "file.part", "precious"]


def test_a_pipe_with_the_name_of_the_part_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file.part")
    (tmp_path / "file.1.part").mkdir()
    writing = threading.Thread(target=write_whole, args=(tmp_path / "file", b"ours"), daemon=True)
    writing.start()
    writing.join(timeout=10)
    assert not writing.is_alive()
    assert (tmp_path / "file").read_bytes() == b"ours"


def test_without_locks_both_files_are_whole_and_the_last_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livecam.system.files.fcntl", None)
    first, second = AtomicFile(tmp_path / "file"), AtomicFile(tmp_path / "file")
    for number in range(3):
        first.write(b"first %d;" % number)
        second.write(b"second %d;" % number)
    second.commit()
    assert (tmp_path / "file").read_bytes() == b"second 0;second 1;second 2;"
    first.commit()
    assert (tmp_path / "file").read_bytes() == b"first 0;first 1;first 2;"
    assert names(tmp_path) == ["file"]


def test_a_file_system_that_refuses_locks_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("livecam.system.files.fcntl.flock", refuse)
    with AtomicFile(tmp_path / "file") as first:
        first.write(b"first")
        write_whole(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "x" + "ü" * 127, "x" * 250 + ".json"])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    check_writable(tmp_path / name)
    for _ in range(2):
        AtomicFile(tmp_path / name).leave()
        with AtomicFile(tmp_path / name) as file:
            file.write(b"whole")
            assert AtomicFile(tmp_path / name, ".faststart").leave() is False
    assert names(tmp_path) == [name]


def test_a_longer_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the name xxxxxxxxxxxxxxxxxxxx… is too long; shorten it"):
        check_writable(tmp_path / ("x" * 256))


def test_a_part_may_be_left_for_the_user(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "file")
    file.write(b"rescued")
    assert file.leave() is True
    assert names(tmp_path) == ["file.part"]
    assert file.part.read_bytes() == b"rescued"


def test_a_part_without_content_is_not_left(tmp_path: Path) -> None:
    assert AtomicFile(tmp_path / "file").leave() is False
    assert names(tmp_path) == []


def test_a_part_is_locked_until_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on sweeps the parts that nobody has locked."""
    replace, swept = Path.replace, []

    def sweep_first(part: Path, path: Path) -> Path:
        swept.extend(sweep_parts([path]))
        return replace(part, path)

    monkeypatch.setattr(Path, "replace", sweep_first)
    write_whole(tmp_path / "file", b"whole")
    assert (names(tmp_path), swept) == (["file"], [])


def test_a_file_that_another_run_is_writing_is_refused(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from livecam.system.files import AtomicFile\n"
        "file = AtomicFile(Path(sys.argv[1])); file.write(b'theirs')\n"
        "print('ready', flush=True); sys.stdin.read(); file.commit()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "ready\n"
        with pytest.raises(OutputError, match="another run is writing .*file.part; wait for it"):
            AtomicFile(tmp_path / "file")
        other.communicate()
    assert (tmp_path / "file").read_bytes() == b"theirs"
    write_whole(tmp_path / "file", b"ours")  # once it is gone
    assert (tmp_path / "file").read_bytes() == b"ours"


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write .*missing/file: No such file or directory"):
        write_whole(tmp_path / "missing" / "file", b"")


def test_one_file_has_many_names(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.touch()
    link.symlink_to(file)
    check_distinct([file], [tmp_path / "other", tmp_path / "new"])
    with pytest.raises(OutputError, match="link would be the input as well"):
        check_distinct([file], [link])
    with pytest.raises(OutputError, match="new would be an output as well"):
        check_distinct([file], [tmp_path / "new", tmp_path / "x" / ".." / "new"])
