"""`livecam annotate --on`: the machines of a cluster share the inputs."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import Option

from livecam.cli.batch import Execute, Outcome
from livecam.cli.options import Section
from livecam.cli.settings import is_typed
from livecam.cli.terminal import is_quiet, waiting

if TYPE_CHECKING:
    from livecam.fleet.fleet import Standing
    from livecam.run.runs import Run

CLUSTER = Section(
    "On a cluster",
    (
        Option(
            ["--on"],
            metavar="CLUSTER",
            show_default="this process alone",
            help="Divide the inputs among the machines of a Ray cluster: HOST:6379 or ray://HOST:10001 for that of a "
            "head, auto for that of this machine, ray for one of this machine alone.",
        ),
        Option(
            ["--cores"],
            type=click.IntRange(min=1),
            metavar="N",
            show_default="2; of a machine with GPUs an equal share",
            help="Give each worker this many cores.",
        ),
        Option(
            ["--per-gpu"],
            type=click.IntRange(min=1),
            metavar="N",
            show_default="1",
            help="Let this many workers share a GPU.",
        ),
    ),
)


CLUSTER_OPTION_NAMES = [option.name for option in CLUSTER.options]


def check_cluster(cluster: Mapping[str, Any], options: Mapping[str, Any], sources: Sequence[str], device: str) -> None:
    """Check that the options of a cluster go with the others. Raises click.UsageError.

    Args:
        cluster: Those of a cluster.
        options: The other ones.
        sources: The inputs as they were typed.
        device: That of the explainer.
    """
    if cluster["on"] is None:
        for name in ("cores", "per_gpu"):
            if is_typed(name):
                raise click.UsageError(f"--{name.replace('_', '-')} is for the workers of a cluster, named by --on")
        return
    if options["watch"] or "-" in sources:
        what = "--watch is" if options["watch"] else "standard input is read"
        raise click.UsageError(f"{what} for one machine; leave it out, or leave out --on")
    if options["predictions"] or options["save_map"]:
        raise click.UsageError("--predictions and --save-map describe one run, and a cluster has many; leave out --on")
    if ":" in device:
        raise click.UsageError(f"--device {device} is one of this machine; on a cluster say --device cuda")


def on_cluster(on: str, cores: int | None, per_gpu: int | None, explainer: dict[str, Any]) -> Execute:
    """Return what does runs on a cluster; `explainer` are the arguments of the `Explainer` that each worker makes."""

    def execute(runs: Sequence[Run]) -> Generator[Outcome, None, None]:
        from livecam.fleet.cluster import Place, joined, machines, place_among
        from livecam.fleet.fleet import Fleet
        from livecam.fleet.orders import Order
        from livecam.fleet.worker import Worker
        from livecam.models.identity import identity
        from livecam.run.annotation import carry_out
        from livecam.system.files import parts_of

        files = [file for run in runs for file in run.files.values()]
        kept, level = frozenset(parts_of(files)), logging.getLogger("livecam").level
        order = Order(str(Path.cwd()), carry_out, explainer, level, identity=identity(explainer), kept=kept)
        with ExitStack() as stack:
            with waiting(f"joining {on} …"):
                ray = stack.enter_context(joined(on))
            progress = stack.enter_context(OverallProgress())

            def place() -> Place:
                return place_among(machines(ray), device=explainer["device"], cores=cores, per_gpu=per_gpu)

            fleet = Fleet(ray, Worker, order, place, progress if progress.is_shown else None)
            for run, result in fleet.results(runs):
                yield Outcome(run, result.ledger, result.error, result.is_unable)

    return execute


class OverallProgress:
    """A progress bar over all inputs of a command, which a fleet does; used as a context manager.

    Within it, call it with how far the fleet is, about once a second.
    """

    _STEPS = 1000

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Any = None
        self._begin_seconds = 0.0
        self._steps = 0

    @property
    def is_shown(self) -> bool:
        """True if standard error is a terminal and the command is not to be quiet."""
        return sys.stderr.isatty() and not is_quiet()

    def __enter__(self) -> OverallProgress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __call__(self, standing: Standing) -> None:
        """Show how far the fleet is."""
        if self._bar is None:
            self._begin_seconds = time.monotonic()
            self._bar = self._stack.enter_context(
                click.progressbar(
                    length=self._STEPS,
                    file=sys.stderr,
                    item_show_func=lambda text: text or "",
                    update_min_steps=0,  # the text may change although the bar does not
                )
            )
        fps = standing.frames / max(time.monotonic() - self._begin_seconds, 1)
        workers = f"{standing.workers} worker{'' if standing.workers == 1 else 's'}"
        steps = max(int(standing.share * self._STEPS), self._steps)
        text = f"{standing.inputs} of {standing.of_inputs} inputs, {standing.frames} frames, {fps:.1f} fps, {workers}"
        with suppress(OSError):  # the terminal was closed
            self._bar.update(steps - self._steps, text)
        self._steps = steps
