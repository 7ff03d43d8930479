"""The runs of a command, each from one source to one output, and the options of all of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from livecam.errors import OutputError
from livecam.ledger import Ledger
from livecam.picture.media import Media
from livecam.render import Style
from livecam.run.manifest import Entry, Manifest
from livecam.run.shards import Shard
from livecam.sinks import EncoderOptions, Sink, SinkKind
from livecam.sources import Input, Source
from livecam.system.files import Version, version_of
from livecam.system.paths import exists
from livecam.system.stores import AnyPath, StoredPath, path_of
from livecam.text import redacted

_ONE_PICTURE = {"read": 1, "explained": 1, "written": 1}
"""What the ledger of a single picture counts."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How inputs are annotated; `livecam.annotate` describes each option."""

    style: Style = Style()
    encoder: EncoderOptions = EncoderOptions()
    overwrite: bool = False
    resume: bool = False
    shard: Shard | None = None
    every: int = 1
    stride: int | None = None
    steady: bool = True
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    stream: int | None = None
    fps: Fraction | None = None
    max_megapixels: float | None = None
    insecure: bool = False
    batch: int | None = None
    predictions: str | Path | None = None
    save_map: str | Path | None = None
    report: str | Path | None = None

    @property
    def look(self) -> dict[str, Any]:
        """The options that decide how the pictures look, as plain data."""
        names = ("style", "encoder", "every", "stride", "steady", "start_seconds", "duration_seconds", "stream", "fps")
        return {name: value for name, value in dataclasses.asdict(self).items() if name in names}

    @property
    def sidecars(self) -> list[AnyPath]:
        """The files that are written beside the output."""
        return [path_of(path) for path in (self.predictions, self.save_map, self.report) if path is not None]

    def without_those_of_videos(self) -> Options:
        """Return the options without those that apply only to videos."""
        return replace(
            self,
            encoder=EncoderOptions(),
            every=1,
            stride=None,
            steady=True,
            start_seconds=0.0,
            duration_seconds=None,
            stream=None,
            fps=None,
            max_megapixels=None,
        )


@dataclass(frozen=True)
class Run:
    """A run from one source to one output.

    Attributes:
        input: The input to read.
        output: The output as the user named it: a file, a folder for pictures, a stream, or `null:`.
        sink: The kind of the output.
        files: The output file of each input, by the input's name; empty if the output is not a file.
        options: The options of the run.
        is_in_folder: True if the outputs have the names of their inputs in a folder.
        refused: Why an input's output cannot be written, by the input's name; the others are done.
        manifest: The manifest of the folder that the outputs go to; None if they go elsewhere.
        fingerprint: That of all that decides how the outputs look, for the manifest.
        versions: The version of each input, by its name, for the manifest; none without one.
        done: The entries of the outputs that an earlier run has finished, by the input's name; they are not done again.
    """

    input: Input
    output: str
    sink: SinkKind
    files: Mapping[str, AnyPath]
    options: Options
    is_in_folder: bool = False
    refused: Mapping[str, OutputError] = field(default_factory=dict)
    manifest: Manifest | None = None
    fingerprint: str = ""
    versions: Mapping[str, Version] = field(default_factory=dict)
    done: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def is_still(self) -> bool:
        """True for pictures, False for a video."""
        return self.input.kind.is_still

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs to do: those that are neither done nor refused."""
        return tuple(name for name in self.input.names if name not in self.done and name not in self.refused)

    @property
    def counts_before(self) -> dict[str, int]:
        """How many inputs are done already, and how many of their frames were read, explained, written and so on."""
        counts = Counter({"inputs": len(self.done)})
        for entry in self.done.values():
            counts.update(entry.frames)
        return dict(counts)

    def in_parts(self, pictures: int) -> list[Run]:
        """Return runs that together are this one, each of at most so many pictures. A video stays whole."""
        if not self.is_still or len(self.names) <= pictures:
            return [self]
        groups = [self.names[begin : begin + pictures] for begin in range(0, len(self.names), pictures)]
        return [self.of(groups[0], self.refused), *map(self.of, groups[1:])]

    def of(self, names: Sequence[str], refused: Mapping[str, OutputError] = MappingProxyType({})) -> Run:
        """Return the run of some of the inputs, and of those that are refused."""
        taken = replace(self.input, names=(*refused, *names))
        files = {name: self.files[name] for name in names if name in self.files}
        versions = {name: self.versions[name] for name in names if name in self.versions}
        return replace(self, input=taken, files=files, versions=versions, refused=dict(refused), done={})

    def begin(self) -> None:
        """Note in the manifest that the outputs are about to be written."""
        if self.manifest is not None:
            self.manifest.begin({self.files[name].name: origin_of(name) for name in self.names})

    def record(self, names: Iterable[str], ledger: Ledger) -> None:
        """Note in the manifest that the outputs of these inputs are finished; `ledger` is that of their run."""
        if self.manifest is None:
            return
        frames = _ONE_PICTURE if self.is_still else ledger.counts()
        for name in names:
            file = self.files[name]
            if isinstance(file, StoredPath):
                file.has_changed()  # perhaps on another machine
            if written := version_of(file):  # else somebody has taken it away
                size = int(written["bytes"])
                entry = Entry(file.name, size, origin_of(name), self.versions[name], self.fingerprint, frames)
                self.manifest.record(entry)

    @property
    def shown(self) -> str:
        """The output as it is called in messages."""
        return self.sink.shown(self.output).rstrip(":")

    def open_source(self) -> Source:
        """Open what is to be done of the input. Raises LivecamError."""
        options = self.options
        if not self.names:
            raise next(iter(self.refused.values()))
        return replace(self.input, names=self.names).open(
            start_seconds=options.start_seconds,
            duration_seconds=options.duration_seconds,
            stream=options.stream,
            fps=options.fps,
            max_megapixels=options.max_megapixels,
            insecure=options.insecure,
        )

    def open_sink(self, media: Media) -> Sink:
        """Open the output for the pictures that `media` describes. Raises OutputError."""
        outputs = {path_of(name): file for name, file in self.files.items()}
        return self.sink.open(outputs if self.is_still else self.output, media, self.options.encoder)


def origin_of(name: str) -> str:
    """Return an input's name for the manifest: the path of a file from the root, a URL without credentials."""
    return str(_from_root(Path(name).parent.absolute()) / Path(name).name) if exists(name) else redacted(name)


@cache
def _from_root(folder: Path) -> Path:
    return folder.resolve()
