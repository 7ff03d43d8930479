"""Verification: a finished file is read once more, without decoding; each packet has to be there, at its time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_TIMED = ("video", "audio", "subtitle")
_DURATION_TOLERANCE_SECONDS = 0.1


class Track:
    """The times of what was written to a stream of a file, or was found in it.

    Args:
        name: What the stream is called in messages.

    Attributes:
        times: The time of each packet in `time_base`.
        refused: How many of them the muxer may have refused.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.times = array("q")
        self.time_base = Fraction(1)
        self._end = 0

    def add(self, written: av.Packet | av.VideoFrame) -> None:
        """Record a packet, or a picture that becomes one."""
        assert written.pts is not None and written.time_base is not None
        if not self.times:
            self.time_base = written.time_base
        self.times.append(written.pts)
        self._end = max(self._end, written.pts + (written.duration or 0))

    @property
    def seconds(self) -> np.ndarray:
        """The times in seconds, in ascending order."""
        return np.sort(self.times) * float(self.time_base)

    @property
    def end_seconds(self) -> float:
        """When the last packet ends."""
        return float(self._end * self.time_base)


def flaw_of(path: Path, tracks: Sequence[Track]) -> str:
    """Compare a file with what was written to it.

    Times are compared to within a tick of the file's own time base; the file may have moved all streams by the same.

    Args:
        path: A video file.
        tracks: What was written to each of its video, audio and subtitle streams, in their order, the first the video.

    Returns:
        What is wrong with the file, in a few words; empty if nothing is.
    """
    with av.open(str(path.absolute())) as container:
        duration_seconds = (container.duration or 0) / av.time_base
        streams = [stream for stream in container.streams if stream.type in _TIMED]
        if len(streams) != len(tracks):
            return f"{len(streams)} instead of {len(tracks)} streams are in it"
        found = {stream.index: Track(track.name) for stream, track in zip(streams, tracks, strict=True)}
        last_dts: dict[int, int] = {}
        for packet in container.demux(streams):
            if not packet.size or _is_filler(packet):
                continue
            index = packet.stream_index
            if packet.pts is None:
                return f"a packet of {found[index].name} has no time"
            if packet.dts is not None:
                if packet.dts <= last_dts.get(index, packet.dts - 1):
                    return f"the times of {found[index].name} do not rise"
                last_dts[index] = packet.dts
            found[index].add(packet)
    return _difference(tracks, list(found.values())) or _wrong_duration(tracks, duration_seconds)


def _difference(tracks: Sequence[Track], found: Sequence[Track]) -> str:
    shift_seconds = None
    for wanted, there in zip(tracks, found, strict=True):
        if len(there.times) != len(wanted.times):
            return f"{len(there.times)} instead of {len(wanted.times)} packets of {wanted.name} are in it"
        off_seconds = there.seconds - wanted.seconds
        shift_seconds = off_seconds[0] if shift_seconds is None else shift_seconds
        worst_seconds = np.abs(off_seconds - shift_seconds).max(initial=0.0)
        if worst_seconds > 1.01 * there.time_base:
            return f"{wanted.name} is up to {worst_seconds:.3f} s away from its time"
    return ""


def _wrong_duration(tracks: Sequence[Track], duration_seconds: float) -> str:
    begun = [track for track in tracks if track.times]
    wanted_seconds = max(track.end_seconds for track in begun) - min(track.seconds[0] for track in begun)
    if abs(duration_seconds - wanted_seconds) <= _DURATION_TOLERANCE_SECONDS:
        return ""
    return f"it says that it lasts {duration_seconds:.2f} s instead of {wanted_seconds:.2f} s"


def _is_filler(packet: av.Packet) -> bool:
    """Return True for the empty text that the muxers of MP4 and MOV put between two lines."""
    context = packet.stream.codec_context
    return packet.size <= 2 and context is not None and context.name == "mov_text"
