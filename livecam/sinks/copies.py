"""The streams that are copied packet by packet: which of them an output can hold, and which of their packets."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator

import av
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.rational import AVRational

from livecam.sinks.pauses import PauseFiller
from livecam.sinks.remux import MP4_FORMATS, describe_stream
from livecam.sinks.subtitles import TEXT_FORMATS, TextConverter, is_filler, is_text
from livecam.sinks.verification import LONGEST_GAP, Track

log = logging.getLogger("livecam")

_LAYOUTS = {
    f"{count} channels": name
    for count, name in enumerate(("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1"), start=1)
}
"""FFmpeg's usual layout for a number of channels."""
_AC3, _AC3_SYNC_WORD = ("ac3", "eac3"), b"\x0b\x77"  # without which the muxer of MP4 refuses a packet


class Copy:
    """The copy of a stream, whose packets come from a file that may be damaged.

    Attributes:
        stream: The stream of the output; its container's header has to be written before packets are taken.
        kind: Its type, such as "audio"; unlike the stream, it can also be read once the container is closed.
        track: The packets that were taken.
        mended: How many of them were moved to the first free time, because another packet had theirs.
        left_out: How many packets were not taken: damaged, or without a time that goes on from the last.
    """

    def __init__(
        self,
        template: av.stream.Stream,
        stream: av.stream.Stream,
        form: BitStreamFilterContext | TextConverter | PauseFiller | None,
    ) -> None:
        self.stream = stream
        self.kind = stream.type
        self.track = Track(name_of(template))
        self.mended = 0
        self.left_out = 0
        # Lines of text may begin together, but MP4 shows one after the other.
        self._step = 0 if self.kind == "subtitle" and stream.container.format.name in ("matroska", "webm") else 1
        self._form = form
        self._held: av.Packet | None = None
        self._begins_with = _AC3_SYNC_WORD if template.codec_context and template.codec_context.name in _AC3 else b""

    def taken(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield a packet in the form and at the time at which the output takes it; nothing if it takes none."""
        if is_filler(packet):
            return
        for formed in self._formed(packet):
            begin = self._time_of(formed)
            if begin is None:
                self.left_out += 1
                continue
            formed.stream, formed.pts, formed.dts = self.stream, begin, begin
            self.track.add(formed)
            yield from self._until_the_next(formed) if self.kind == "audio" else [formed]

    def rest(self) -> Iterator[av.Packet]:
        """Yield the last packet of sound, which `taken` holds back."""
        if self._held is not None:
            yield self._held

    def _until_the_next(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Hold a packet of sound back; yield the one before, which now lasts until this one.

        FFmpeg begins a fragment where the packet before ends, so at a wrong time if that lasts shorter or longer.
        """
        held, self._held = self._held, packet
        if held is not None:
            held.duration = (packet.pts or 0) - (held.pts or 0)
            yield held

    @property
    def is_silent(self) -> bool:
        """True for a stream of sound without packets, which has no place in a finished file."""
        return self.kind == "audio" and not self.track.times

    def account(self) -> None:
        """Log what became of packets that could not be copied as they were."""
        total = len(self.track.times) + self.left_out
        changes = {"left out": self.left_out, "moved to a later time": self.mended}
        if any(changes.values()):
            made = ", ".join(f"{count} {change}" for change, count in changes.items() if count)
            log.warning("%s: of %d packets, %s", self.track.name, total, made)
        if self.is_silent:
            log.warning("left out: %s has no packets", self.track.name)

    def _formed(self, packet: av.Packet) -> list[av.Packet]:
        try:
            if self._form and not packet.is_corrupt:
                return self._form.filter(packet)
        except av.InvalidDataError:
            packet.is_corrupt = True
        return [packet]

    def _time_of(self, packet: av.Packet) -> int | None:
        """Convert a packet to the output's time base; return the first free time from its own on, None if none fits."""
        packet.rescale_ts(AVRational(self.stream.time_base or 0))
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is None or packet.is_corrupt or memoryview(packet)[: len(self._begins_with)] != self._begins_with:
            return None
        first_free = self.track.times[-1] + self._step if self.track.times else begin
        if begin >= first_free:
            return begin if begin - first_free <= LONGEST_GAP else None
        # What begins within the packet before may begin after it; what is older would come at a wrong time.
        if first_free - begin > max(packet.duration or 0, 1):
            return None
        self.mended += 1
        return first_free


def add_copies(
    container: OutputContainer, text_container: OutputContainer, templates: Iterable[av.stream.Stream], suffix: str
) -> tuple[dict[int, Copy], list[str]]:
    """Add a copy of each input stream that the output can hold; text is converted if need be.

    Args:
        container: The output.
        text_container: The output of subtitles.
        templates: The input's streams.
        suffix: The ending of the output, for the notes.

    Returns:
        The copies by the index of the input stream, and a note on each other stream.
    """
    copies, notes = {}, []
    for template in templates:
        if isinstance(template, av.AudioStream) and not template.sample_rate:
            notes.append(f"left out: {name_of(template)} has no packets near the beginning, or none that can be read")
        elif _fits(template, container.format.name):
            output = text_container if template.type == "subtitle" else container
            copies[template.index] = Copy(template, _add_stream(output, template), _form_of(template, output))
        elif is_text(template):
            converter = TextConverter(template, text_container)
            copies[template.index] = Copy(template, converter.stream, converter)
            notes.append(f"{name_of(template)} is converted to {TEXT_FORMATS[container.format.name]}")
        else:
            advice = "; .mkv files can" if _fits(template, "matroska") else ""
            notes.append(f"left out: {suffix} files cannot hold {name_of(template)}{advice}")
    for template in templates:
        if template.index in copies:
            describe_stream(copies[template.index].stream, template.metadata, int(template.disposition))
    return copies, notes


def _add_stream(container: OutputContainer, template: av.stream.Stream) -> av.stream.Stream:
    """Add a stream for the packets of another."""
    stream = container.add_stream_from_template(template, opaque=True)
    if isinstance(stream, av.AudioStream) and stream.layout.name in _LAYOUTS:
        # AVI and WAV only count channels, and MP4 has to name them.
        stream.codec_context.layout = _LAYOUTS[stream.layout.name]
    return stream


def name_of(stream: av.stream.Stream) -> str:
    """Name a stream in notes: stream 1 (audio, aac)."""
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "no codec"
    return f"stream {stream.index} ({stream.type}, {codec})"


def _fits(template: av.stream.Stream, container_format: str) -> bool:
    """Return True if a container format can hold a stream, which only writing a header shows."""
    try:
        with av.open(os.devnull, "w", format=container_format) as trial:
            _add_stream(trial, template)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _form_of(template: av.stream.Stream, output: OutputContainer) -> BitStreamFilterContext | PauseFiller | None:
    """Return what gives the packets of a stream the form in which a container holds them, None if they have it."""
    if _is_adts(template):  # MPEG-TS has a header in each packet of AAC, all others one for the stream
        return BitStreamFilterContext("aac_adtstoasc", template)
    if (
        isinstance(template, av.AudioStream)
        and str(template.name).startswith("pcm_")
        and output.format.name in MP4_FORMATS
    ):
        return PauseFiller(template, name_of(template))
    return None


def _is_adts(stream: av.stream.Stream) -> bool:
    """Return True if every AAC packet carries a header (ADTS), as in MPEG-TS."""
    return (
        stream.codec_context is not None and stream.codec_context.name == "aac" and not stream.codec_context.extradata
    )
