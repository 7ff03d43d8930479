"""Shards: the inputs of one command, divided among several processes or machines that know nothing of each other."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from livecam.errors import LivecamError

log = logging.getLogger("livecam")

_ID, _COUNT, _MIN, _STEP = (f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "STEP"))


@dataclass(frozen=True)
class Shard:
    """One of several shares of the inputs, the same on every machine.

    An input belongs to a shard by its name alone, without its folder: inputs that are added change no other's shard.

    Args:
        number: Which shard it is, from 1.
        count: How many there are.

    Raises:
        LivecamError: There is no such shard.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise LivecamError(f"there is no shard {self}; they are 1/{self.count} to {self.count}/{self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, name: str) -> bool:
        """Return True if an input of this name, without its folder, belongs to the shard."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8]) % self.count == self.number - 1


def tell_array(environment: Mapping[str, str]) -> None:
    """Tell that a task of a SLURM job array does all of its inputs: they may be its own, or those of all tasks."""
    if _ID in environment:
        log.info("task %s of a SLURM job array does all of its inputs; --shard auto takes its share", environment[_ID])


def shard_of_slurm(environment: Mapping[str, str]) -> Shard:
    """Return the shard of a task of a SLURM job array, by the variables that SLURM sets. Raises LivecamError."""
    if _ID not in environment:
        raise LivecamError(f"{_ID} is not set: this is no task of a SLURM job array; name the shard, such as 3/40")
    try:
        task, count, first = (int(environment[name]) for name in (_ID, _COUNT, _MIN))
        place, beside = divmod(task - first, int(environment.get(_STEP, 1)))
    except (KeyError, ValueError, ZeroDivisionError) as exc:
        raise LivecamError(f"{_COUNT} and {_MIN} are not the numbers that SLURM sets; name the shard") from exc
    if beside or place >= count:
        raise LivecamError(
            f"task {task} is none of {count} that follow each other from {first} on; name the shard, such as 3/40"
        )
    return Shard(place + 1, count)
