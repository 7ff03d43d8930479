"""The worker: an actor that does one run after the other on some machine of a cluster."""

from __future__ import annotations

import logging
import os
import pickle
import platform
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from livecam._version import __version__
from livecam.errors import LivecamError
from livecam.fleet.orders import Abandoned, Note, Order, Result
from livecam.ledger import Ledger
from livecam.models.identity import identity
from livecam.run.runs import Run
from livecam.system import cores
from livecam.system.binding import claim_cores
from livecam.system.files import sweep_parts

if TYPE_CHECKING:  # with torch
    from livecam.explain.explainer import Explainer

log = logging.getLogger("livecam")


class Worker:
    """Does one run at a time. Ray makes it in a process of its own, and makes it anew where that process has died.

    `begin` and `annotate` are called one after the other, `progress` and `stop` at any time, from another thread.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._explainer = cache(self._prepared)
        self._is_fresh = True
        self._stopping = threading.Event()
        self._progress: tuple[Ledger, int | None] | None = None

    def begin(self) -> Result:
        """Load the model."""
        with _notes_taken(self._order.level) as notes:
            try:
                self._explainer()
            except BaseException as exc:
                return Result(None, _portable(exc), tuple(notes), is_unable=True)
        return Result(notes=tuple(notes))

    def annotate(self, run: Run) -> Result:
        """Do a run. Raises nothing that comes from the run: Ray would take it for a failure of this process."""
        self._progress = None
        begun = self.begin()  # here, if Ray has made this process anew
        if begun.is_unable:
            return begun
        with _notes_taken(self._order.level) as notes:
            try:
                self._sweep(run)
                ledger = self._order.carry_out(run, self._explainer, on_progress=self._on_progress)
            except BaseException as exc:
                so_far = self._progress and self._progress[0]
                is_done = isinstance(exc, Abandoned) and so_far is not None and so_far.verified  # it came too late
                return Result(so_far, None if is_done else _portable(exc), (*begun.notes, *notes))
        return Result(ledger, None, (*begun.notes, *notes))

    def progress(self) -> tuple[int, int | None]:
        """Return how many frames of the current run are done, and how many it has, None if unknown."""
        if self._progress is None:
            return 0, None
        ledger, expected = self._progress
        return ledger.delivered, expected

    def stop(self) -> None:
        """Abandon the current run, so that nothing is left of the file that is under way, and all to come."""
        self._stopping.set()

    def _on_progress(self, ledger: Ledger, expected: int | None) -> None:
        self._progress = ledger, expected
        if self._stopping.is_set():
            raise Abandoned

    def _prepared(self) -> Explainer:
        """Make this process what the command is, and load the model. Raises LivecamError."""
        order = self._order
        if order.version != __version__:
            raise LivecamError(
                f"{platform.node()} has livecam {__version__}, and the command is of {order.version}; install the same"
            )
        try:
            os.chdir(order.folder)  # names of files start from there, and modules of the user are there
        except OSError as exc:
            raise LivecamError(
                f"{platform.node()} has no folder {order.folder} ({exc.strerror}); all machines need the same files"
            ) from exc
        ours = identity(order.explainer) if order.identity else {}
        if differing := [name for name, value in order.identity.items() if ours.get(name) != value]:
            raise LivecamError(
                f"{platform.node()} has another {' and another '.join(differing)} than the machine of the command; all "
                "need the same versions and files"
            )
        cores.before_torch_loads()
        cores.spare_collector()
        cores.keep_freed_memory()
        if not claim_cores(order.cores):
            log.debug("%s: the worker shares its cores with other programs", platform.node())
        from livecam.explain.explainer import Explainer

        return Explainer(**order.explainer)

    def _sweep(self, run: Run) -> None:
        """Remove what a worker that has died has left of the outputs."""
        import ray

        if self._is_fresh and ray.get_runtime_context().was_current_actor_reconstructed:
            sweep_parts(run.files.values(), kept=self._order.kept)
        self._is_fresh = False


class _Taker(logging.Handler):
    """Puts what is logged into a list."""

    def __init__(self, notes: list[Note]) -> None:
        super().__init__()
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self._notes.append((record.levelno, record.getMessage()))


@contextmanager
def _notes_taken(level: int) -> Iterator[list[Note]]:
    """Take what is logged inside the block."""
    notes: list[Note] = []
    handler = _Taker(notes)
    log.setLevel(level)
    log.addHandler(handler)
    try:
        yield notes
    finally:
        log.removeHandler(handler)


def _portable(exc: BaseException) -> BaseException:
    """Return an exception that another process can raise, with the traceback of this one as a note."""
    trace = f"on {platform.node()}:\n{''.join(traceback.format_exception(exc))}"
    try:
        found = pickle.loads(pickle.dumps(exc))
    except Exception:  # its class wants other arguments, or lives here alone
        found = RuntimeError(f"{type(exc).__name__}: {exc}")
    found.add_note(trace)
    return found
