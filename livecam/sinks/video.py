"""The video sink: the file gets its name only after it is finished and its packets have been counted.

Until then it is `NAME.part`, which is playable up to the last half second that was encoded, even if the process is
killed. (An MP4 starts to grow once every track has a packet.)
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.picture.planes import planar_format
from livecam.sinks.base import Sink, SinkKind, check_place
from livecam.sinks.encoder import EncoderOptions, add_encoder
from livecam.sinks.remux import describe_stream, edit_list_options, kept_metadata, remux, sync_to_disk
from livecam.system.files import AtomicFile

log = logging.getLogger("livecam")

FRAGMENT_SECONDS = 0.5
# delay_moov and not empty_moov: only then can FFmpeg write the edit lists that keep negative and late first timestamps.
_FRAGMENTED_MP4 = {"movflags": "delay_moov+default_base_moof", "frag_duration": f"{FRAGMENT_SECONDS * 1e6:.0f}"}
# Keep the times: FFmpeg would shift all streams if an AAC track begins with its priming, before 0.
_MATROSKA = {"avoid_negative_ts": "disabled", "cluster_time_limit": f"{FRAGMENT_SECONDS * 1e3:.0f}"}
_CONTAINERS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", "libx264", _FRAGMENTED_MP4),
    ".m4v": ("mp4", "libx264", _FRAGMENTED_MP4),
    ".mov": ("mov", "libx264", _FRAGMENTED_MP4),
    ".mkv": ("matroska", "libx264", _MATROSKA),
    ".webm": ("webm", "libvpx-vp9", _MATROSKA),
}


class VideoSink(Sink):
    """Encodes pictures and copies packets into a file; the file's ending determines the format."""

    def __init__(self, file: AtomicFile, media: Media, encoder: EncoderOptions) -> None:
        self._file, self._path, self._part = file, file.path, file.part
        self._media = media
        self._format, default_codec, options = _CONTAINERS[self._path.suffix.lower()]
        if self._is_fragmented:
            options = {**options, **edit_list_options(media)}
        self._container = av.open(
            str(self._part.absolute()), "w", format=self._format, container_options={**options, "flush_packets": "1"}
        )
        wanted_format = planar_format(av.VideoFormat(media.pixel_format))
        self._stream = add_encoder(self._container, media, wanted_format, encoder, default_codec)
        self._codec = self._stream.codec_context.name
        self.pixel_format = str(self._stream.codec_context.pix_fmt)
        self._container.metadata.update(kept_metadata(media.metadata))
        describe_stream(self._stream, media.stream_metadata, media.disposition)
        self._stream.set_display_matrix(media.display_matrix)
        if not self._is_fragmented:
            self._container.set_chapters(media.chapters)
        self._notes: list[str] = []
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._copies = self._add_copied_streams()
        self._waiting: SimpleQueue[av.Packet] = SimpleQueue()
        self._packets: Counter[int] = Counter()
        self._frames = 0
        if av.VideoFormat(media.pixel_format).components[0].bits > 8:
            self._notes.append(f"the output has 8 bits a channel, the input {media.pixel_format} has more")

    @property
    def _is_fragmented(self) -> bool:
        return self._format in ("mp4", "mov")

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        if not self._frames:
            self._tell()
        with self._errors_named():
            self._mux_waiting()
            self._mux(self._stream.encode(picture))
        self._frames += 1

    def copy(self, packet: av.Packet) -> None:
        if packet.stream_index in self._copies:
            self._waiting.put(packet)

    def finish(self) -> bool | None:
        with self._errors_named():
            self._mux(self._stream.encode(None))
            self._mux_waiting()
            self._container.close()
            if self._is_fragmented:
                with AtomicFile(self._path, ".faststart") as plain:
                    remux(self._part, plain.part, self._format, self._media)
                    self._check_whole(plain.part)
                self._file.discard()
            else:
                self._check_whole(self._part)
                self._file.commit()
        return True

    def abort(self) -> None:
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        if self._frames and self._file.leave():
            log.warning("%s plays up to there", self._part)
        else:
            self._file.discard()

    def report(self) -> dict[str, Any]:
        stream = self._stream
        return {
            "output": {
                "path": str(self._path),
                "codec": self._codec,
                "pixel_format": self.pixel_format,
                "picture_size": [self._media.width, self._media.height],
                "coded_size": [stream.codec_context.width, stream.codec_context.height],
                "copied_packets": {
                    str(index): self._packets[copy.index] for index, copy in sorted(self._copies.items())
                },
            }
        }

    def _tell(self) -> None:
        """Log the notes that were held back until the run started."""
        for note in self._notes:
            log.warning(note)

    def _check_whole(self, path: Path) -> None:
        """Check a finished file, and flush it to the disk. Raises OutputError."""
        if not self._holds_all(path):
            raise OutputError(f"{self._path} was not written: not all frames arrived in {self._part}, which is kept")
        sync_to_disk(path)

    def _add_copied_streams(self) -> dict[int, av.stream.Stream]:
        """Add a stream for each input stream that the output can hold, by input index; note the others."""
        copies: dict[int, av.stream.Stream] = {}
        for template in self._media.copied_streams:
            try:
                if template.type == "attachment" and self._format != "matroska":
                    raise ValueError("FFmpeg would only refuse it when the header is written")
                stream = self._container.add_stream_from_template(template, opaque=True)
            except ValueError:
                codec = template.codec_context.name if template.codec_context else "no codec"
                stream_facts = f"stream {template.index} ({template.type}, {codec})"
                self._notes.append(f"left out: {self._path.suffix} files cannot hold {stream_facts}")
                continue
            describe_stream(stream, template.metadata, int(template.disposition))
            copies[template.index] = stream
            if self._is_fragmented and template.type == "audio" and _is_adts(template):
                self._filters[template.index] = BitStreamFilterContext("aac_adtstoasc", template)
        return copies

    def _mux_waiting(self) -> None:
        with suppress(Empty):
            while True:
                packet = self._waiting.get_nowait()
                stream, bitstream_filter = self._copies[packet.stream_index], self._filters.get(packet.stream_index)
                for copy in bitstream_filter.filter(packet) if bitstream_filter else [packet]:
                    copy.stream = stream
                    self._mux([copy])

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self._packets[packet.stream_index] += 1
            self._container.mux(packet)

    def _holds_all(self, path: Path) -> bool:
        """Count the packets of the finished file: one per frame, and all that were copied."""
        if self._packets[self._stream.index] != self._frames:
            return False
        found: Counter[int] = Counter()
        with av.open(str(path.absolute())) as container:
            for packet in container.demux():
                found[packet.stream_index] += packet.size > 0
        # The muxers of MP4 and MOV fill the time between two lines of text with empty packets.
        subtitles = {copy.index for copy in self._copies.values() if copy.type == "subtitle"}
        return all(
            found[index] >= count if index in subtitles else found[index] == count
            for index, count in self._packets.items()
        )

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc


def _is_adts(stream: av.stream.Stream) -> bool:
    """Return True if every AAC packet carries a header (ADTS), as in MPEG-TS; MP4 stores one header up front."""
    return stream.codec_context.name == "aac" and not stream.codec_context.extradata


def _check(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() not in _CONTAINERS:
        raise OutputError(f"{path}: the ending of a video has to be one of {', '.join(_CONTAINERS)}")
    check_place(path, overwrite)


def _opened(output: str, media: Media, encoder: EncoderOptions) -> VideoSink:
    file = AtomicFile(Path(output))
    try:
        return VideoSink(file, media, encoder)
    except BaseException:
        file.discard()
        raise


VIDEO = SinkKind(
    recognises=lambda output: True,
    open=_opened,
    is_file=True,
    takes_stills=False,
    check=_check,
)
