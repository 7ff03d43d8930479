"""Shards: each input belongs to one, by its name alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from livecam.errors import LivecamError
from livecam.run.plan import inputs_of
from livecam.run.shards import Shard, shard_of_slurm
from livecam.sources import find_inputs

SHARDS = [Shard(number, 40) for number in range(1, 41)]


def shard_of(name: str) -> str:
    (shard,) = (shard for shard in SHARDS if shard.holds(name))
    return str(shard)


def test_forty_shards_cover_a_thousand_names_once_and_evenly() -> None:
    sizes = Counter(shard_of(f"img{number}.jpg") for number in range(1000))
    assert sizes.total() == 1000
    assert len(sizes) == 40
    assert max(sizes.values()) < 50


def test_a_name_stays_in_its_shard_whatever_is_added_and_wherever_it_is(tmp_path: Path) -> None:
    """As on machines that see the files under other paths."""
    taken: list[set[str]] = []
    for folder, count in ((tmp_path / "here", 30), (tmp_path / "there" / "below", 60)):
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.{'mp4' if number % 3 else 'png'}").touch()
        taken.append({Path(name).name for each in inputs_of(Shard(2, 5), find_inputs(folder)) for name in each.names})
    first, second = taken
    assert first == {name for name in second if int(name.partition(".")[0]) < 30}
    assert 0 < len(first) < len(second) < 60


def test_the_shard_of_a_name_is_the_same_forever() -> None:
    """Else the parts of a job that go on with another version would leave out files, or do them twice."""
    assert [shard_of(name) for name in ("a.jpg", "b.mp4", "ä.png", "\udcff.png")] == ["27/40", "9/40", "38/40", "38/40"]


@pytest.mark.parametrize("number", [0, 41, -1])
def test_only_shards_that_exist_can_be_named(number: int) -> None:
    with pytest.raises(LivecamError, match=f"there is no shard {number}/40; they are 1/40 to 40/40"):
        Shard(number, 40)


def slurm(**variables: int) -> dict[str, str]:
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in variables.items()}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (slurm(ID=0, COUNT=40, MIN=0, STEP=1), "1/40"),
        (slurm(ID=40, COUNT=40, MIN=1, STEP=1), "40/40"),
        (slurm(ID=40, COUNT=40, MIN=1), "40/40"),
        (slurm(ID=14, COUNT=4, MIN=10, STEP=2), "3/4"),
    ],
)
def test_the_shard_of_a_task_of_slurm(variables: dict[str, str], expected: str) -> None:
    assert str(shard_of_slurm(variables)) == expected


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "no task of a SLURM job array; name the shard"),
        (slurm(ID=3), "not the numbers that SLURM sets"),
        (slurm(ID=3, COUNT=2, MIN=0, STEP=0), "not the numbers that SLURM sets"),
        (slurm(ID=17, COUNT=2, MIN=3, STEP=1), "task 17 is none of 2 that follow each other from 3 on"),  # --array=3,17
        (slurm(ID=3, COUNT=2, MIN=0, STEP=2), "task 3 is none of 2"),
    ],
)
def test_what_slurm_says_must_fit(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(LivecamError, match=problem):
        shard_of_slurm(variables)
