"""The plan of a command: which inputs become which outputs, with all checks that need no model."""

from __future__ import annotations

import filecmp
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from glob import has_magic
from pathlib import Path

from livecam.errors import LivecamError, OutputError, some_of
from livecam.names import PICTURE_ENDINGS, VIDEO_ENDINGS
from livecam.run.manifest import Entry, Manifest
from livecam.run.runs import Options, Run, origin_of
from livecam.run.shards import Shard
from livecam.sinks import EncoderOptions, SinkKind
from livecam.sinks import kind_of as sink_kind_of
from livecam.sources import PIPE, Input
from livecam.sources.inputs import without_file_scheme
from livecam.system.files import (
    check_distinct,
    check_parent,
    check_writable,
    is_taken,
    sweep_parts,
    version_of,
)
from livecam.system.paths import exists, is_folder
from livecam.system.stores import AnyPath, StoredPath, is_stored, path_of
from livecam.text import redacted

log = logging.getLogger("livecam")


@contextmanager
def planned(
    inputs: Sequence[Input], output: str, options: Options, manifest: Manifest | None = None
) -> Iterator[list[Run]]:
    """Plan a run for each input. Creates the output folder and removes it in the end if it stayed empty.

    All pictures together count as one input, each video as another, as returned by `find_inputs`. An output that cannot
    be written is `refused` in its run. Raises LivecamError, also if that is so for all outputs.

    Args:
        inputs: The inputs.
        output: A file, a folder, or `null:`.
        options: How they are annotated. With `shard` only the inputs of that shard are, of which there may be none.
        manifest: The manifest of the output, if that is a folder. None: what is written is not noted, and cannot be
            resumed.
    """
    _check_options(inputs, options)
    of_pictures = options if _are_all_still(inputs) else options.without_those_of_videos()
    if options.shard is not None:
        inputs = _share_of(inputs, options.shard)
    runs = [_run(each, output, of_pictures if each.kind.is_still else options) for each in inputs]
    _check_streams(runs, output, overwrite=options.overwrite)
    if manifest is not None:
        runs = [_noted(run, manifest) if run.is_in_folder else run for run in runs]
    if options.resume and any(run.manifest is None for run in runs):
        raise OutputError(
            "--resume is for outputs in a folder, which notes what is done; name a folder, or leave it out"
        )
    with _made_folder(path_of(output), is_needed=any(run.is_in_folder and run.files for run in runs)):
        _check_names([(name, file) for run in runs for name, file in run.files.items()])
        _check_files(
            [name for run in runs for name in run.input.names],
            [file for run in runs for file in run.files.values()],
            options.sidecars,
        )
        if options.resume:
            _check_kept(options)
            runs = _resumed(runs)
        checked = _checked(runs)
        for run in checked:
            if not run.is_still:
                run.sink.check_encoder(path_of(run.output), options.encoder)
        yield checked


def as_shown(inputs: Sequence[Input], output: str | None) -> list[Input]:
    """Return the inputs, a single animated picture as a video unless the output is meant for pictures."""
    is_for_pictures = output is not None and (_is_folder(output) or Path(output).suffix.lower() in PICTURE_ENDINGS)
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
    if len(names) == 1 and is_stored(names[0]) and not has_magic(names[0]):
        return f"{StoredPath.of(names[0]).name}_livecam"
    return "livecam_output"


def check_outputs(
    inputs: Iterable[str], outputs: Mapping[str, SinkKind], sidecars: Sequence[AnyPath], *, overwrite: bool
) -> None:
    """Check that outputs can be written, and that no file is an input or written twice. Raises OutputError."""
    _check_files(inputs, [Path(output) for output, kind in outputs.items() if kind.is_file], sidecars)
    for output, kind in outputs.items():
        if kind.is_file:
            kind.check(Path(output), overwrite)
        else:
            kind.check_name(output, overwrite=overwrite)


def _check_files(inputs: Iterable[str], outputs: Iterable[AnyPath], sidecars: Sequence[AnyPath]) -> None:
    """Check that no file is an input or written twice, and that sidecars can be written. Raises OutputError."""
    check_distinct(map(without_file_scheme, inputs), [*outputs, *sidecars])
    for path in sidecars:
        check_writable(path)


def _check_kept(options: Options) -> None:
    """Check that no sidecar of an earlier run is replaced by one of only what was left to do. Raises OutputError."""
    for path in (options.predictions, options.save_map):
        if path is not None and is_taken(path_of(path)):
            raise OutputError(f"{path} exists, and would hold only what --resume does now; name another file")


def inputs_of(shard: Shard, inputs: Sequence[Input]) -> list[Input]:
    """Return those of the inputs that belong to a shard."""
    # Outputs have the names of inputs without their folders: two that would become the same file meet in a shard.
    kept = [
        replace(each, names=tuple(name for name in each.names if shard.holds(each.kind.output_name(name))))
        for each in inputs
    ]
    return [each for each in kept if each.names]


def _share_of(inputs: Sequence[Input], shard: Shard) -> list[Input]:
    """Return the inputs that belong to a shard, and tell how many they are. Raises LivecamError."""
    if not any(each.many for each in inputs):
        raise LivecamError(f"--shard {shard} divides several inputs; name a folder, a pattern, or all inputs")
    share = inputs_of(shard, inputs)
    count, among = (sum(len(each.names) for each in some) for some in (share, inputs))
    log.info("shard %s has %d of the %d inputs", shard, count, among)
    return share


def _noted(run: Run, manifest: Manifest) -> Run:
    """Return a run that notes its outputs in the manifest of their folder."""
    options = run.options.without_those_of_videos() if run.is_still else run.options
    versions = {name: run.input.kind.version(name) for name in run.input.names}
    return replace(run, manifest=manifest, fingerprint=manifest.fingerprint(options.look), versions=versions)


def _resumed(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with what is done already. Removes what killed runs have left of their outputs."""
    reasons: Counter[str] = Counter()
    resumed = []
    for run in runs:
        assert run.manifest is not None
        found = {name: _entry(run, name, reasons) for name in run.files}
        resumed.append(replace(run, done={name: entry for name, entry in found.items() if entry}))
    for reason, count in reasons.items():
        log.info("%d output%s done again: %s", count, " is" if count == 1 else "s are", reason)
    begun = [file for run in runs for file in run.files.values() if run.manifest and run.manifest.origin(file.name)]
    if swept := sweep_parts(begun):
        log.info("removed what killed runs have left: %s", some_of(swept))
    return resumed


def _entry(run: Run, name: str, reasons: Counter[str]) -> Entry | None:
    """Return the entry of an output that is done. If it is to be done again, count the reason."""
    assert run.manifest is not None
    file, version = run.files[name], run.versions[name]
    entry = run.manifest.entry(file.name)
    if entry is None or not is_taken(file) or not _is_of(run, name):
        return None
    if entry.version != version:
        reasons["the input has changed"] += 1
    elif entry.fingerprint != run.fingerprint:
        reasons["the options, the model or a version has changed"] += 1
    elif entry.output_bytes != version_of(file).get("bytes"):
        reasons["the output has changed"] += 1
    else:
        return entry
    return None


def _is_of(run: Run, name: str) -> bool:
    """Return True if livecam has made the output of this name from this input, which may have been moved since."""
    assert run.manifest is not None
    output = run.files[name].name
    entry = run.manifest.entry(output)
    return run.manifest.origin(output) == origin_of(name) or (entry is not None and _was_moved(entry, run, name))


def _was_moved(entry: Entry, run: Run, name: str) -> bool:
    """Return True if an input is the one of an entry in another place: size and time may be equal by chance."""
    version = run.versions[name]
    if "bytes" not in version or entry.version != version:
        return False
    return not exists(entry.input) or filecmp.cmp(entry.input, name, shallow=False)


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
    for name in run.names:
        try:
            _check_output(run, name)
        except OutputError as exc:
            refused[name] = exc
    return refused


def _check_output(run: Run, name: str) -> None:
    """Check that an output can be written, and replaces nothing that it should not. Raises OutputError."""
    file, options = run.files.get(name), run.options
    if file is None:
        return
    origin = run.manifest.origin(file.name) if run.manifest and is_taken(file) and not options.overwrite else None
    if origin and not options.resume:
        raise OutputError(f"{file} exists; --resume does what is not done yet, --overwrite does all again")
    if origin and not _is_of(run, name):
        raise OutputError(f"{file} exists, made from {origin}; name another output, or replace it with --overwrite")
    run.sink.check(file, options.overwrite or origin is not None)


def _run(source: Input, output: str, options: Options) -> Run:
    kind, first = source.kind, source.names[0]
    sink = sink_kind_of(output, stills=kind.is_still)
    is_in_folder = source.many or (_is_folder(output) and (kind.is_still or is_stored(output)))
    if sink.is_file and is_in_folder:
        files = {name: path_of(output) / kind.output_name(name) for name in source.names}
        shown = output if kind.is_still else str(files[first])
        return Run(source, shown, sink, files, options, is_in_folder=True)
    return Run(source, output, sink, {first: path_of(output)} if sink.is_file else {}, options)


def _check_options(inputs: Sequence[Input], options: Options) -> None:
    """Check that options fit together, and fit the inputs. Raises LivecamError."""
    if len(inputs) > 1 and (options.predictions or options.save_map):
        raise LivecamError(
            f"--predictions and --save-map describe one run, but these inputs make {len(inputs)} "
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


def _check_streams(runs: Sequence[Run], output: str, *, overwrite: bool) -> None:
    """Check an output that is no file. Raises OutputError."""
    kind = sink_kind_of(output)
    if kind.is_file:
        return
    if not kind.takes_stills and any(run.is_still for run in runs):
        raise OutputError(f"{kind.shown(output)} takes videos; name a file or a folder for pictures")
    if not kind.takes_several and len(runs) > 1:
        raise OutputError(f"{kind.shown(output)} takes one video at a time; annotate them one by one")
    kind.check_name(output, overwrite=overwrite)


def _are_all_still(inputs: Sequence[Input]) -> bool:
    return all(each.kind.is_still for each in inputs)


def _is_folder(output: str) -> bool:
    """Return True for a folder that exists; in an object store all do, and one is told by the slash at its end."""
    return output.endswith("/") if is_stored(output) else is_folder(output)


def _check_names(files: Iterable[tuple[str, AnyPath]]) -> None:
    """Check that no two inputs get the same output. Raises OutputError."""
    inputs: dict[AnyPath, str] = {}
    for name, file in files:
        if file in inputs:
            raise OutputError(f"{inputs[file]} and {redacted(name)} would both become {file}; rename or leave out one")
        inputs[file] = redacted(name)


def check_folder(folder: AnyPath) -> None:
    """Check that a folder exists or can be made. Raises LivecamError.

    An object store is asked what is in it, since all outputs are looked for there; it has no folders to be made.
    """
    if isinstance(folder, Path) and is_folder(folder):
        return
    if folder.suffix.lower() in (*PICTURE_ENDINGS, *VIDEO_ENDINGS) or (isinstance(folder, Path) and exists(folder)):
        raise OutputError(f"{folder} is named like a file, and a folder is needed for several outputs")
    if isinstance(folder, StoredPath):
        folder.listing()
    else:
        check_parent(folder)


@contextmanager
def _made_folder(folder: AnyPath, *, is_needed: bool) -> Iterator[None]:
    """Create a folder if it is missing, and remove it at the end of the block if it is empty. Raises OutputError.

    In an object store, where folders need not be made, ask what is in it: all outputs are looked for there.
    """
    if not is_needed or (isinstance(folder, Path) and is_folder(folder)):
        yield
        return
    check_folder(folder)
    if isinstance(folder, StoredPath):
        yield
        return
    try:
        folder.mkdir(exist_ok=True)  # another shard may have just made it
    except OSError as exc:
        raise OutputError(f"cannot make the folder {folder.name[:20]}…: {exc.strerror}") from exc
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
