"""The video sink: the file gets its name only after it is finished and verified.

Until then it is `NAME.part`, which is playable up to the last half second that was encoded, even if the process is
killed. (An MP4 starts to grow once every track has a packet.)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import av

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sinks.base import Sink, SinkKind, check_no_url, check_place
from livecam.sinks.copies import add_copies
from livecam.sinks.encoder import EncoderOptions, add_encoder, check_encoder, notes_on
from livecam.sinks.remux import MP4_FORMATS, describe_stream, kept_metadata, mp4_options, remux, sync_to_disk
from livecam.sinks.verification import LONGEST_GAP, Track, flaw_of, pictures_in
from livecam.system.files import AtomicFile
from livecam.system.stores import AnyPath, path_of

log = logging.getLogger("livecam")

FRAGMENT_SECONDS = 0.5
# delay_moov and not empty_moov: only then can FFmpeg write the edit lists that keep negative and late first timestamps.
_FRAGMENTED_MP4 = {"frag_duration": f"{FRAGMENT_SECONDS * 1e6:.0f}"}
_FRAGMENTED_FLAGS = "delay_moov+default_base_moof"
# Keep the times: FFmpeg would shift all streams if an AAC track begins with its priming, before 0.
_MATROSKA = {"avoid_negative_ts": "disabled", "cluster_time_limit": f"{FRAGMENT_SECONDS * 1e3:.0f}"}
_LEAST_TIMESCALE = 20_000
"""MP4's muxer multiplies smaller ones, up to this."""
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
            options = {**options, **mp4_options(media, _FRAGMENTED_FLAGS)}
        self._container = av.open(
            str(self._part.absolute()), "w", format=self._format, container_options={**options, "flush_packets": "1"}
        )
        self._stream = add_encoder(self._container, media, encoder, default_codec)
        self._codec = self._stream.codec_context.name
        self.pixel_format = str(self._stream.codec_context.pix_fmt)
        self._container.metadata.update(kept_metadata(media.metadata))
        describe_stream(self._stream, media.stream_metadata, media.disposition)
        self._stream.set_display_matrix(media.display_matrix)
        if not self._is_fragmented:
            self._container.set_chapters(media.chapters)
        # FFmpeg gives pictures wrong times if a line of text ends a fragment: text waits for the finished file.
        text = av.open(os.devnull, "w", format=self._format) if self._is_fragmented else self._container
        self._copies, self._notes = add_copies(self._container, text, media.copied_streams, self._path.suffix)
        self._texts: dict[av.stream.Stream, list[av.Packet]] = {}
        if text is not self._container and text.streams:
            text.start_encoding()  # which sets the time bases
            self._texts = {stream: [] for stream in text.streams}
        self._waiting: SimpleQueue[av.Packet] = SimpleQueue()
        self._pictures = Track("the video")
        self._longest_gap = LONGEST_GAP / max(media.time_base.denominator, _LEAST_TIMESCALE) / media.time_base
        self._notes += notes_on(self._stream, media)

    @property
    def _is_fragmented(self) -> bool:
        return self._format in MP4_FORMATS

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        if not self._pictures.times:
            self._tell()
        with self._errors_named():
            self._mux_waiting()
            self._check_gap(picture)
            self._pictures.add(picture)
            self._container.mux(self._stream.encode(picture))

    def _check_gap(self, picture: av.VideoFrame) -> None:
        """Check that a picture does not come too long after the one before. Raises OutputError."""
        times = self._pictures.times
        assert picture.pts is not None  # every frame of a video has one
        gap = picture.pts - times[-1] if times else 0
        if self._is_fragmented and gap > self._longest_gap:
            gap_hours = float(gap * self._media.time_base) / 3600
            raise OutputError(
                f"cannot write {self._path}: a frame comes {gap_hours:.1f} h after the one before; name an .mkv instead"
            )

    def copy(self, packet: av.Packet) -> None:
        if packet.stream_index in self._copies:
            self._waiting.put(packet)

    def finish(self) -> bool | None:
        with self._errors_named():
            self._mux_waiting()
            for copy in self._copies.values():
                self._container.mux(list(copy.rest()))
            self._container.mux(self._stream.encode(None))
            empty = self._account_for_copies()
            if self._is_fragmented or empty:
                with AtomicFile(self._path, ".faststart") as plain:
                    remux(self._container, plain.part, self._media, empty, self._texts)
                    self._verify(plain.part)
                self._file.discard()
            else:
                self._container.close()
                self._verify(self._part)
                self._file.commit()
        return True

    def abort(self) -> None:
        with suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self.arrived = 0
        if self._pictures.times and self._file.leave():
            self.arrived = pictures_in(self._part)
            log.warning("%s holds %d frames, and plays up to there", self._part, self.arrived)
        else:
            self._file.discard()

    def report(self) -> dict[str, Any]:
        stream, copies = self._stream, sorted(self._copies.items())
        return {
            "output": {
                "path": str(self._path),
                "codec": self._codec,
                "pixel_format": self.pixel_format,
                "picture_size": [self._media.width, self._media.height],
                "coded_size": [stream.codec_context.width, stream.codec_context.height],
                "copied_packets": {str(index): len(copy.track.times) for index, copy in copies},
                "mended_packets": {str(index): copy.mended for index, copy in copies},
                "left_out_packets": {str(index): copy.left_out for index, copy in copies},
            }
        }

    def _tell(self) -> None:
        """Log the notes that were held back until the run started."""
        for note in self._notes:
            log.warning(note)

    def _mux_waiting(self) -> None:
        with suppress(Empty):
            while True:
                packet = self._waiting.get_nowait()
                self._container.start_encoding()  # which sets the time bases
                for taken in self._copies[packet.stream_index].taken(packet):
                    if taken.stream in self._texts:
                        self._texts[taken.stream].append(taken)
                    else:
                        self._container.mux(taken)

    def _account_for_copies(self) -> set[int]:
        """Log what of the copied streams is left out, and return the output's streams of sound that stayed empty."""
        for copy in self._copies.values():
            copy.account()
        return {copy.stream.index for copy in self._copies.values() if copy.is_silent}

    def _verify(self, path: Path) -> None:
        """Check that a finished file holds all that was written, and flush it to the disk. Raises OutputError."""
        written = [copy for copy in self._copies.values() if not copy.is_silent and copy.kind != "attachment"]
        written.sort(key=lambda copy: copy.stream in self._texts)  # they were added last
        if flaw := flaw_of(path, [self._pictures, *(copy.track for copy in written)]):
            kept = "" if self._file.is_stored else f"; {self._part} is kept"
            raise OutputError(f"{self._path} was not written, since {flaw}{kept}")
        sync_to_disk(path)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc


def _check(path: AnyPath, overwrite: bool) -> None:
    check_no_url(path)
    if path.suffix.lower() not in _CONTAINERS:
        raise OutputError(f"{path}: the ending of a video has to be one of {', '.join(_CONTAINERS)}")
    check_place(path, overwrite)


def _opened(output: str, media: Media, encoder: EncoderOptions) -> VideoSink:
    file = AtomicFile(path_of(output))
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
    check_encoder=lambda path, encoder: check_encoder(encoder, _CONTAINERS[path.suffix.lower()][1]),
)
