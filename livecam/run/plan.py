"""The plan of a command: which inputs become which outputs, with all checks that need no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from livecam.errors import LivecamError, OutputError
from livecam.names import PICTURE_ENDINGS, VIDEO_ENDINGS
from livecam.picture.media import Media
from livecam.render import Style
from livecam.sinks import EncoderOptions, Sink, SinkKind
from livecam.sinks import kind_of as sink_kind_of
from livecam.sources import PIPE, Input, Source
from livecam.sources.inputs import without_file_scheme
from livecam.system.files import check_distinct, check_parent, check_writable, exists, is_folder
from livecam.text import redacted


@dataclass(frozen=True, kw_only=True)
class Options:
    """How inputs are annotated; `livecam.annotate` describes each option."""

    style: Style = Style()
    encoder: EncoderOptions = EncoderOptions()
    overwrite: bool = False
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
    def sidecars(self) -> list[Path]:
        """The files that are written beside the output."""
        return [Path(path) for path in (self.predictions, self.save_map, self.report) if path is not None]

    def without_those_of_videos(self) -> Options:
        """Return the options without those that apply only to videos."""
        return replace(
            self,
            encoder=EncoderOptions(),
            every=1,
            stride=None,
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
        output: The output as named in messages: a file, a folder for pictures, or `null:`.
        sink: The kind of the output.
        files: The output file of each input, by the input's name; empty if the output is not a file.
        options: The options of the run.
        refused: Why an input's output cannot be written, by the input's name; the others are done.
    """

    input: Input
    output: str
    sink: SinkKind
    files: Mapping[str, Path]
    options: Options
    refused: Mapping[str, OutputError] = field(default_factory=dict)

    @property
    def is_still(self) -> bool:
        """True for pictures, False for a video."""
        return self.input.kind.is_still

    def open_source(self) -> Source:
        """Open what is not refused of the input. Raises LivecamError."""
        options = self.options
        names = tuple(name for name in self.input.names if name not in self.refused)
        if not names:
            raise next(iter(self.refused.values()))
        return replace(self.input, names=names).open(
            start_seconds=options.start_seconds,
            duration_seconds=options.duration_seconds,
            stream=options.stream,
            fps=options.fps,
            max_megapixels=options.max_megapixels,
            insecure=options.insecure,
        )

    def open_sink(self, media: Media) -> Sink:
        """Open the output for the pictures that `media` describes. Raises OutputError."""
        outputs = {Path(name): file for name, file in self.files.items()}
        return self.sink.open(outputs if self.is_still else self.output, media, self.options.encoder)


@contextmanager
def planned(inputs: Sequence[Input], output: str, options: Options) -> Iterator[list[Run]]:
    """Plan a run for each input. Creates the output folder and removes it in the end if it stayed empty.

    All pictures together count as one input, each video as another, as returned by `find_inputs`. An output that cannot
    be written is `refused` in its run. Raises LivecamError, also if that is so for all outputs.
    """
    _check_options(inputs, options)
    of_pictures = options if _are_all_still(inputs) else options.without_those_of_videos()
    runs = [_run(each, output, of_pictures if each.kind.is_still else options) for each in inputs]
    with _made_folder(Path(output), is_needed=any(run.input.many and run.files for run in runs)):
        _check_names([(name, file) for run in runs for name, file in run.files.items()])
        _check_files(
            [name for run in runs for name in run.input.names],
            [file for run in runs for file in run.files.values()],
            options.sidecars,
        )
        checked = _checked(runs)
        for run in checked:
            if not run.is_still:
                run.sink.check_encoder(Path(run.output), options.encoder)
        yield checked


def as_shown(inputs: Sequence[Input], output: str | None) -> list[Input]:
    """Return the inputs, a single animated picture as a video unless the output is meant for pictures."""
    is_for_pictures = output is not None and (is_folder(output) or Path(output).suffix.lower() in PICTURE_ENDINGS)
    return list(inputs) if is_for_pictures else [each.as_video() for each in inputs]


def default_output(names: Sequence[str], inputs: Sequence[Input]) -> str:
    """Return the default output for inputs with these names.

    clip.mp4 -> clip_livecam.mp4, photos/ -> photos_livecam, several -> livecam_output. Raises OutputError if one of
    them is a pipe.
    """
    if any(each.kind is PIPE for each in inputs):
        raise OutputError("standard input has no name for the output to take; name the output with -o")
    first = inputs[0]
    if not first.many:
        path = Path(first.kind.output_name(first.names[0]))
        return f"{path.stem}{first.kind.output_suffix}{path.suffix.lower()}"
    if len(names) == 1 and is_folder(names[0]):
        return f"{Path(names[0]).resolve().name}_livecam"
    return "livecam_output"


def check_outputs(
    inputs: Iterable[str], outputs: Mapping[Path, SinkKind], sidecars: Sequence[Path], *, overwrite: bool
) -> None:
    """Check that files can be written, and that none of them is an input or written twice. Raises OutputError."""
    _check_files(inputs, outputs, sidecars)
    for path, kind in outputs.items():
        kind.check(path, overwrite)


def _check_files(inputs: Iterable[str], outputs: Iterable[Path], sidecars: Sequence[Path]) -> None:
    """Check that no file is an input or written twice, and that sidecars can be written. Raises OutputError."""
    check_distinct(map(without_file_scheme, inputs), [*outputs, *sidecars])
    for path in sidecars:
        check_writable(path)


def _checked(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with the outputs that are refused. Raises OutputError if there are no others."""
    checked = [replace(run, refused=_refused(run)) for run in runs]
    refused = [error for run in checked for error in run.refused.values()]
    if refused and len(refused) == sum(len(run.files) for run in runs):
        raise refused[0]
    return checked


def _refused(run: Run) -> dict[str, OutputError]:
    """Check the outputs of a run. Return the error for each that cannot be written, by its input's name."""
    refused = {}
    for name, file in run.files.items():
        try:
            run.sink.check(file, run.options.overwrite)
        except OutputError as exc:
            refused[name] = exc
    return refused


def _run(source: Input, output: str, options: Options) -> Run:
    kind, first = source.kind, source.names[0]
    sink = sink_kind_of(output, stills=kind.is_still)
    if sink.is_file and (source.many or (kind.is_still and is_folder(output))):
        files = {name: Path(output) / kind.output_name(name) for name in source.names}
        return Run(source, output if kind.is_still else str(files[first]), sink, files, options)
    return Run(source, output, sink, {first: Path(output)} if sink.is_file else {}, options)


def _check_options(inputs: Sequence[Input], options: Options) -> None:
    """Check that options fit together, and fit the inputs. Raises LivecamError."""
    if len(inputs) > 1 and options.sidecars:
        raise LivecamError(
            f"--predictions, --save-map and --report describe one run, but these inputs make {len(inputs)} "
            "(one for all pictures, one for each video); annotate them one by one"
        )
    if options.save_map is not None and Path(options.save_map).suffix.lower() != ".npy":
        raise OutputError(f"{options.save_map}: the file of --save-map must end in .npy")
    if _are_all_still(inputs):  # options for videos are allowed if there are videos among the inputs
        if options.encoder != EncoderOptions():
            raise OutputError("codec, preset and crf are for videos; leave them out for pictures")
        if options.every > 1:
            raise LivecamError("every is for videos, since each picture is explained; leave it out for pictures")
        if options.stride is not None:
            raise LivecamError("stride is for videos, of which clips are explained; leave it out for pictures")


def _are_all_still(inputs: Sequence[Input]) -> bool:
    return all(each.kind.is_still for each in inputs)


def _check_names(files: Iterable[tuple[str, Path]]) -> None:
    """Check that no two inputs get the same output. Raises OutputError."""
    inputs: dict[Path, str] = {}
    for name, file in files:
        if file in inputs:
            raise OutputError(f"{inputs[file]} and {redacted(name)} would both become {file}; rename or leave out one")
        inputs[file] = redacted(name)


@contextmanager
def _made_folder(folder: Path, *, is_needed: bool) -> Iterator[None]:
    """Create a folder if it is missing, and remove it at the end of the block if it is empty. Raises OutputError."""
    if not is_needed or is_folder(folder):
        yield
        return
    if exists(folder) or folder.suffix.lower() in (*PICTURE_ENDINGS, *VIDEO_ENDINGS):
        raise OutputError(f"{folder} is named like a file, and a folder is needed for several outputs")
    check_parent(folder)
    try:
        folder.mkdir()
    except OSError as exc:
        raise OutputError(f"cannot make the folder {folder.name[:20]}…: {exc.strerror}") from exc
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
