"""`livecam annotate --watch`: files are annotated as they arrive in folders, until the command is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from livecam.cli.batch import Batch
from livecam.cli.terminal import inform, tell
from livecam.errors import LivecamError, OutputError
from livecam.system.paths import is_folder
from livecam.system.stores import path_of

if TYPE_CHECKING:
    from livecam.run.manifest import Manifest
    from livecam.run.runs import Options, Run

_LEAST_SECONDS = 1.0
"""The pause between two looks into the folders, unless these take long."""
_PAUSE = 10
"""A pause is at least so many times as long as a look, so that a large folder does not keep its server busy."""


def check_watched(folders: Sequence[str], output: str, options: Options) -> None:
    """Check that folders can be watched, and that the outputs do not arrive in them. Raises LivecamError."""
    from livecam.run.plan import check_folder
    from livecam.sinks import kind_of

    for folder in folders:
        if not is_folder(folder):
            raise LivecamError(f"--watch is for folders, and {folder} is none; name one")
        if Path(folder).resolve() == Path(output).resolve():
            raise OutputError(f"{output} is watched, so outputs would become inputs; name another folder with -o")
    if not kind_of(output, stills=True).is_file:
        raise OutputError(f"{output} writes nothing, and --watch notes in a folder what is done; name one with -o")
    check_folder(path_of(output))
    if options.sidecars:
        raise LivecamError("--predictions, --save-map and --report describe one run, and a watch has many")


def watch(folders: Sequence[str], output: str, options: Options, manifest: Manifest, batch: Batch) -> None:
    """Annotate the files in folders, and then those that arrive, until a signal ends it.

    Args:
        folders: The folders.
        output: The folder for the outputs.
        options: How files are annotated.
        manifest: The manifest of the output.
        batch: Does the runs.

    Raises:
        KeyboardInterrupt: The signal, after what was begun has been finished.
    """
    from livecam.sources import file_endings
    from livecam.sources.arrivals import Arrivals

    def do(names: Sequence[str]) -> None:
        """Do files together; if they cannot even be planned together, each by itself."""
        with ExitStack() as stack:
            try:
                runs = _planned(names, output, options, manifest, stack)
            except LivecamError as exc:
                error = exc
            else:
                batch.do(runs)
                return
        if len(names) == 1:
            batch.refuse(names, error)
            return
        for name in names:
            do([name])

    arrivals, problem = Arrivals(folders, file_endings()), ""
    inform(f"livecam: watching {', '.join(folders)}; Ctrl-C ends it")
    try:
        while True:
            begin = monotonic()
            names = arrivals.look()
            looked_seconds = monotonic() - begin
            if arrivals.problem != problem:
                problem = arrivals.problem
                tell(f"livecam: {problem}; it is tried again" if problem else "livecam: all folders can be read again")
            if names:
                do(names)
            sleep(max(_LEAST_SECONDS, _PAUSE * looked_seconds))
    finally:
        batch.tell(always=True)


def _planned(
    names: Sequence[str], output: str, options: Options, manifest: Manifest, stack: ExitStack
) -> Sequence[Run]:
    """Plan the runs of files that have arrived, until the stack is closed. Raises LivecamError."""
    from livecam.run.plan import inputs_of, planned
    from livecam.sources import find_inputs

    inputs = find_inputs(names)
    if options.shard is not None:
        inputs = inputs_of(options.shard, inputs)
    if all(each.kind.is_still for each in inputs):  # those of videos are for others, which may come
        options = options.without_those_of_videos()
    return stack.enter_context(planned(inputs, output, replace(options, shard=None, resume=True), manifest))
