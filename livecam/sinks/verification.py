"""Verification: a finished file is read once more, without decoding; each packet has to be there, at its time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from livecam.sinks.subtitles import is_filler

_TIMED = ("video", "audio", "subtitle")
_TOLERANCE_SECONDS = 0.1
LONGEST_GAP = 2**31 - 1
"""The longest time between two packets of a stream that an MP4 can hold, in its time base; FFmpeg ends at more."""


class Track:
    """The times of what was written to a stream of a file, or of what was found in it.

    Args:
        name: What the stream is called in messages.

    Attributes:
        times: The time of each packet, in `time_base`.
        time_base: Their unit, in seconds.
        end: When the last packet ends, in this unit.
        is_pcm: True if MP4 does not keep the packets, which are uncompressed sound.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.times = array("q")
        self.time_base = Fraction(1)
        self.end = self._delay = 0
        self.is_pcm = False
        self._last_dts: int | None = None

    def add(self, packet: av.Packet | av.VideoFrame) -> None:
        """Record a packet, or a picture that becomes one."""
        assert packet.pts is not None and packet.time_base is not None
        if not self.times:
            self.time_base, self.end = packet.time_base, packet.pts
        self.times.append(packet.pts)
        self.end = max(self.end, packet.pts + (packet.duration or 0))

    def flaw_of_next(self, packet: av.Packet, least_step: int) -> str:
        """Return what is wrong with the times of the packet that comes next in a file, empty if nothing is."""
        if packet.pts is None:
            return f"a packet of {self.name} has no time"
        if packet.dts is not None:
            if self._last_dts is not None and packet.dts < self._last_dts + least_step:
                return f"the times of {self.name} do not rise"
            self._last_dts = packet.dts
            self._delay = max(self._delay, packet.pts - packet.dts)
        return ""

    @property
    def whole(self) -> Track:
        """A track that has only the begin and the end of this one."""
        whole = Track(self.name)
        whole.time_base = self.time_base
        whole.times.extend((self.times[0], self.end))
        return whole

    @property
    def seconds(self) -> np.ndarray:
        """The times in seconds, in ascending order."""
        return np.sort(self.times) * float(self.time_base)

    @property
    def span_seconds(self) -> tuple[float, float, float]:
        """When the first packet begins and the last ends, and how long the decoder holds pictures back."""
        begin, tick = min(self.times), float(self.time_base)
        return begin * tick, self.end * tick, self._delay * tick


def flaw_of(path: Path, tracks: Sequence[Track]) -> str:
    """Compare a file with what was written to it.

    Times are compared to within a tick of the file's own time base, or a millisecond; the file may have moved all
    streams by the same.

    Args:
        path: A video file.
        tracks: What was written to each of its video, audio and subtitle streams, in their order.

    Returns:
        What is wrong with the file, in a few words; empty if nothing is.
    """
    with av.open(str(path.absolute())) as container:
        streams = [stream for stream in container.streams if stream.type in _TIMED]
        if len(streams) != len(tracks):
            return f"{len(streams)} instead of {len(tracks)} streams are in it"
        found = {stream.index: Track(track.name) for stream, track in zip(streams, tracks, strict=True)}
        for stream in streams:
            found[stream.index].is_pcm = str(stream.name).startswith("pcm_") and "mp4" in container.format.name
        least_step = 0 if "matroska" in container.format.name else 1  # two packets may begin in a millisecond
        for packet in container.demux(streams):
            if packet.size and not is_filler(packet):
                track = found[packet.stream_index]
                if flaw := track.flaw_of_next(packet, least_step):
                    return flaw
                track.add(packet)
        duration_seconds = (container.duration or 0) / av.time_base
    return _difference(tracks, found.values()) or _wrong_duration(found.values(), duration_seconds)


def pictures_in(path: Path) -> int:
    """Return how many whole pictures are in a video file that was not completed."""
    count = 0
    with suppress(av.FFmpegError), av.open(str(path.absolute())) as container:
        for packet in container.demux(video=0):
            count += bool(packet.size) and not packet.is_corrupt
    return count


def _difference(tracks: Iterable[Track], found: Iterable[Track]) -> str:
    shift_seconds = None
    for wanted, there in zip(tracks, found, strict=True):
        if there.is_pcm and there.times and wanted.times:
            wanted, there = wanted.whole, there.whole
        if len(there.times) != len(wanted.times):
            return f"{len(there.times)} instead of {len(wanted.times)} packets of {wanted.name} are in it"
        if not wanted.times:
            continue
        off_seconds = there.seconds - wanted.seconds
        shift_seconds = off_seconds[0] if shift_seconds is None else shift_seconds
        worst_seconds = float(np.abs(off_seconds - shift_seconds).max())
        # Not below a millisecond, to which Matroska rounds what MP4 then finds by counting samples of PCM.
        if worst_seconds > 1.01 * max(float(there.time_base), 1e-3):
            return f"{wanted.name} is up to {worst_seconds:.3f} s away from its time"
    return ""


def _wrong_duration(found: Iterable[Track], duration_seconds: float) -> str:
    """Compare the duration in the header with the packets: not less than the video, not more than everything."""
    spans = [track.span_seconds for track in found if track.times]
    begin, end, delay = spans[0]
    # MP4 adds up durations in the order of decoding, which leaves out a pause at the end; Matroska counts from 0.
    least_seconds = end - begin - delay
    most_seconds = max(end for _, end, _ in spans) - min(0, *(begin for begin, _, _ in spans))
    if least_seconds - _TOLERANCE_SECONDS <= duration_seconds <= most_seconds + _TOLERANCE_SECONDS:
        return ""
    return f"it says that it lasts {duration_seconds:.2f} s, and {end - begin:.2f} s of video are in it"
