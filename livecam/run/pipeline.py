"""The pipeline of a run over a video file or pictures: a source, an explainer and a sink, in three threads."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

import av

from livecam.errors import LivecamError
from livecam.explain.explainer import Explainer
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Carrier
from livecam.explanation import Explanation
from livecam.ledger import FILE, Ledger
from livecam.picture.frame import Frame
from livecam.picture.transfer import DevicePlanes, transfer_to, uploaded
from livecam.render import Renderer
from livecam.run.clip_window import Cells, Clip, ClipWindow
from livecam.run.clips import ClipExplanations
from livecam.run.workers import Channel, Workers
from livecam.sinks.base import Sink
from livecam.sources.base import Source
from livecam.system.cores import drawing_threads

log = logging.getLogger("livecam")

_MOST_BATCHES = 4
"""If only every Nth frame is explained, N times as many may wait, up to this factor, so that batches stay as large."""
_TICK_SECONDS = 0.1

Answer = tuple[Frame, Explanation, DevicePlanes | None]
"""A frame, its explanation, and its planes if they are on the device."""


class Pipeline:
    """One run from a source to a sink. Reading, explaining, and drawing and writing have a thread each.

    Args:
        source: Supplies the frames.
        explainer: Explains them, in batches.
        renderer: Draws the explanations.
        sink: Writes the pictures.
        batch: How many frames are explained at once; None for a number that suits the device.
        carrier: Chooses the frames to explain and moves their maps to the others; None: all are explained.
        window: Makes clips of the frames, for a model of clips; None for a model of stills.
        steadiness: Makes the heatmaps steady from frame to frame; None: each frame is shown by itself.
        separate: The frames are pictures that do not belong together: one that cannot be explained or written is left
            out, else that ends the run, and `Explainer.expect` is told.
        entry: Called by the writing thread with each frame that the sink took. Returns what is called if the frame has
            arrived, which in a stream may turn out some seconds later; it should not keep the picture until then.
        on_progress: Called about ten times a second by the thread that called `run`.

    Attributes:
        ledger: The ledger of the run.
        finished: True once the sink has completed its output.
    """

    def __init__(
        self,
        source: Source,
        explainer: Explainer,
        renderer: Renderer,
        sink: Sink,
        *,
        batch: int | None = None,
        carrier: Carrier | None = None,
        window: ClipWindow | None = None,
        steadiness: Steadiness | None = None,
        separate: bool = False,
        entry: Callable[[Frame, Explanation], Callable[[], None]] | None = None,
        on_progress: Callable[[Ledger], None] | None = None,
    ) -> None:
        self.ledger = Ledger(FILE._replace(delivered=sink.delivered), source.name)
        self.finished = False
        self._source = source
        self._explainer = explainer
        self._carrier = carrier or Carrier()
        self._steadiness = steadiness
        self._renderer = renderer
        self._sink = sink
        self._separate = separate
        self._first_failure: Exception | None = None
        self._sink_dropped: Counter[str] = Counter()
        self._entry = entry or (lambda frame, explanation: lambda: None)
        self._in_doubt: deque[tuple[float, int, Callable[[], None]]] = deque()  # frames that may still be dropped
        self._arrived = 0
        self._are_carried = bytearray()  # of the frames that were delivered
        self._on_progress = on_progress or (lambda ledger: None)
        self._clips_at_once = batch or max(explainer.usual_batch // (window.frames if window else 1), 1)
        self._clips = ClipExplanations(window, self._explain_clips, self._clips_at_once) if window else None
        self._unclaimed_seconds = 0.0  # spent on frames that wait for their clip
        batch = min(batch or explainer.usual_batch, source.media.expected_frames or sys.maxsize)
        # One batch may wait while another is processed: enough to even out a slow stage, few enough to stop soon.
        self._captured: Channel[Frame] = Channel(batch * min(self._carrier.every, _MOST_BATCHES))
        self._explained: Channel[Answer] = Channel(batch)
        self._transfer = transfer_to(explainer.device)
        self._stopping = threading.Event()
        works = {"capture": self._capture, "explain": self._explain, "render": self._render}
        self._workers = Workers(works, on_failure=self._give_up)

    def run(self) -> Ledger:
        """Run to the end of the source.

        The first KeyboardInterrupt in this thread stops the reading: frames that were read are still explained and
        written, the output is completed, and the interrupt is raised again. A second one aborts the run.

        Raises:
            BaseException: The exception of the stage that failed, after all threads have ended and the sink was
                aborted.
        """
        self.ledger.begin()
        with drawing_threads(), self._explainer:
            self._expect(self._source.media.expected_frames)
            try:
                self._workers.run(self._tick, stop=self._stop, give_up=self._give_up)
            finally:
                self._tally()
                if not self.finished:
                    self._sink.abort()
                    self._count_what_is_left()
                self.ledger.end(on_their_way=0 if self.finished else self.ledger.in_progress)
        if not self.finished:
            raise RuntimeError("the run ended without finishing its output")
        return self.ledger

    def _expect(self, frames: int | None) -> None:
        """Tell the explainer how much there is to explain, None if unknown."""
        if self._clips:
            self._explainer.expect(frames and frames / self._clips.stride, batch=self._clips_at_once)
        else:
            every = self._carrier.every
            batch = max(self._captured.capacity // every, 1)
            self._explainer.expect(frames and frames / every, batch=batch, separate=self._separate)

    def _tick(self) -> None:
        self._workers.wait(_TICK_SECONDS)
        self._tally()
        self._on_progress(self.ledger)

    def _stop(self) -> None:
        self._stopping.set()
        self._source.stop()

    def _give_up(self) -> None:
        self._stop()
        self._captured.abort()
        self._explained.abort()

    def _capture(self) -> None:
        clock = self.ledger.stages["capture"]
        frames = self._source.frames(self._sink.copy)
        while not self._stopping.is_set():
            with clock.measure():
                frame = next(frames, None)
            if frame is None:
                break
            self.ledger.read += 1
            self._captured.put(frame)
        self._captured.close()

    def _explain(self) -> None:
        answers_to = self._answers_by_clips if self._clips else self._answers
        for frames in self._captured.batches(self._captured.capacity):
            self._pass_on(partial(answers_to, frames))
        self._pass_on(self._last_answers)
        self._explained.close()

    def _pass_on(self, answer: Callable[[], Sequence[Answer]]) -> None:
        """Pass answers on to be drawn. What was spent on frames that have to wait is counted for those that follow."""
        begin = time.perf_counter()
        answers = answer()
        self._unclaimed_seconds += time.perf_counter() - begin
        if not answers:
            return
        seconds_per_frame, self._unclaimed_seconds = self._unclaimed_seconds / len(answers), 0.0
        for frame, explanation, there in answers:
            self.ledger.stages["explain"].add(seconds_per_frame)
            self.ledger.explained += not explanation.age_frames
            self._explained.put((frame, explanation, there))

    def _answers(self, frames: Sequence[Frame]) -> list[Answer]:
        """Explain frames. If some may be left out, those that cannot be explained by themselves are."""
        try:
            return self._explain_together(frames)
        except Exception as exc:
            if not self._separate:
                raise
            if len(frames) == 1:
                self._leave_out(frames[0], "explain", exc)
                return []
        return [answer for frame in frames for answer in self._answers([frame])]

    def _explain_together(self, frames: Sequence[Frame]) -> list[Answer]:
        there = {frame.index: uploaded(frame.picture, self._transfer) for frame in frames}

        def explain(due: Sequence[Frame]) -> list[Explanation]:
            uploads = [there[frame.index] for frame in due]
            return self._explainer.explain(due, uploaded=uploads, heat=self._steadiness is None)

        explanations = self._carrier.explanations(frames, explain)
        if self._steadiness is not None:
            explanations = list(map(self._steadiness, frames, explanations))
        return [(frame, one, there[frame.index]) for frame, one in zip(frames, explanations, strict=True)]

    def _answers_by_clips(self, frames: Sequence[Frame]) -> list[Answer]:
        """Take frames into clips; return the answers to those that need not wait for another clip."""
        assert self._clips is not None
        return self._steady(chain.from_iterable(map(self._clips.add, frames)))

    def _last_answers(self) -> list[Answer]:
        """Return the answers to the frames that still wait. Raises InputError if there is no clip."""
        if self._clips is None or self._stopping.is_set() and not self.ledger.clips:
            return []
        return self._steady(self._clips.end())

    def _steady(self, explained: Iterable[tuple[Frame, Explanation]]) -> list[Answer]:
        steadiness = self._steadiness
        return [(frame, steadiness(frame, one) if steadiness else one, None) for frame, one in explained]

    def _explain_clips(self, clips: Sequence[Clip]) -> Sequence[Cells]:
        self.ledger.clips += len(clips)
        return self._explainer.explain_clips(clips)

    def _render(self) -> None:
        for frame, explanation, there in self._explained:
            try:
                self._write(frame, explanation, there)
            except Exception as exc:
                if not self._separate:
                    raise
                self._leave_out(frame, "write", exc)
                continue
            self._in_doubt.append((frame.captured_seconds, explanation.age_frames, self._entry(frame, explanation)))
            self._settle()
        if self._in_doubt or self._arrived or self._sink_dropped:  # an interrupt before the first frame leaves no file
            self.ledger.verified = self._sink.finish()
            self._settle()
            self.finished = True
        elif self._first_failure is not None:
            raise self._first_failure

    def _settle(self) -> None:
        """Count the frames of which it is known by now whether they have arrived: the first ones did, the last not."""
        dropped = self._sink.dropped - self._sink_dropped
        self._sink_dropped += dropped
        self.ledger.dropped += dropped
        for _ in range(dropped.total()):
            self._in_doubt.pop()
        arrived = len(self._in_doubt) if self._sink.arrived is None else self._sink.arrived - self._arrived
        self._arrived += arrived
        for _ in range(arrived):
            captured_seconds, age_frames, add_entry = self._in_doubt.popleft()
            self.ledger.deliver(captured_seconds, age_frames)
            self._are_carried.append(age_frames > 0)
            add_entry()

    def _count_what_is_left(self) -> None:
        """Of an output that was not completed, count the frames in what is left of it."""
        left = self._sink.arrived
        if left is not None and left < self.ledger.delivered:
            self.ledger.delivered, self.ledger.carried = left, sum(self._are_carried[:left])

    def _write(self, frame: Frame, explanation: Explanation, there: DevicePlanes | None) -> None:
        with self.ledger.stages["render"].measure():
            picture: av.VideoFrame = self._renderer(frame, explanation, there)
        with self.ledger.stages["write"].measure():
            self._sink.write(picture, frame)

    def _leave_out(self, frame: Frame, step: str, exc: Exception) -> None:
        """Count and log a picture that failed at a step."""
        reason = str(exc) if isinstance(exc, LivecamError) else f"{frame.path}: {type(exc).__name__}: {exc}"
        log.warning("%s", reason)
        self._first_failure = self._first_failure or exc
        self.ledger.failed_files[str(frame.path)] = reason
        self.ledger.dropped[step] += 1

    def _tally(self) -> None:
        """Copy the source's counts to the ledger."""
        self.ledger.unreadable, self.ledger.damaged = self._source.unreadable, self._source.damaged
        self.ledger.failed_files.update(self._source.failed_files)
