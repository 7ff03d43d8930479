"""What may be said of a cluster, and beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("a.mp4 --cores 2", "--cores is for the workers of a cluster, named by --on"),
        ("a.mp4 --per-gpu 2", "--per-gpu is for the workers of a cluster, named by --on"),
        (". --on ray --watch", "--watch is for one machine; leave it out, or leave out --on"),
        ("- --on ray -o out.mp4", "standard input is read for one machine; leave it out, or leave out --on"),
        ("a.mp4 --on ray --save-map m.npy", "--predictions and --save-map describe one run"),
        ("a.mp4 --on ray --device cuda:1", "--device cuda:1 is one of this machine; on a cluster say --device cuda"),
    ],
)
def test_what_does_not_go_together_is_an_error_in_one_line(
    livecam: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = livecam("annotate", *options.split())
    assert result.exit_code == 2
    assert problem in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_from_anybody_cannot_name_a_cluster(
    livecam: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would get the token, and the files."""
    monkeypatch.chdir(tmp_path)
    Path("livecam.toml").write_text('[annotate]\non = "ray://elsewhere:10001"\n')
    result = livecam("annotate", "a.mp4")
    assert result.exit_code == 2
    assert "livecam.toml" in result.stderr
