"""A file appears under its name only when it is complete, and two runs never write the same one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livecam.errors import OutputError
from livecam.system.files import AtomicFile, check_distinct, part_of, write_whole


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


def test_what_is_left_of_an_earlier_run_is_no_part_of_the_file(tmp_path: Path) -> None:
    part_of(tmp_path / "file").write_bytes(b"much longer than what comes")
    write_whole(tmp_path / "file", b"short")
    assert (tmp_path / "file").read_bytes() == b"short"
    assert names(tmp_path) == ["file"]


def test_a_part_may_be_left_for_the_user(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "file")
    file.write(b"rescued")
    file.leave()
    assert names(tmp_path) == ["file.part"]
    assert file.part.read_bytes() == b"rescued"


def test_another_file_may_take_the_name(tmp_path: Path) -> None:
    file = AtomicFile(tmp_path / "file")
    (tmp_path / "copy").write_bytes(b"whole")
    file.commit(tmp_path / "copy")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"whole"


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
