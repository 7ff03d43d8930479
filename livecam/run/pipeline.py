"""The run: three threads, two channels, from a source through an explainer to a sink."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Sequence

import av

from livecam.explain.explainer import Explainer
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Carrier
from livecam.explanation import Explanation
from livecam.ledger import Ledger
from livecam.picture.frame import Frame
from livecam.picture.transfer import DevicePlanes, transfer_to, uploaded
from livecam.render import Renderer
from livecam.run.workers import Channel, Policy, Workers
from livecam.sinks import Sink
from livecam.sources import Source
from livecam.system.cores import drawing_threads

_MOST_BATCHES = 4
"""Where not every frame is explained, as many times more may wait, up to this, so that a batch stays as large."""
_POLL_SECONDS = 0.1

Uploaded = dict[int, DevicePlanes | None]
"""By the frames' indices."""


class Pipeline:
    """One run. `capture` reads, `explain` explains, `render` draws and writes; each in its own thread.

    `carrier` chooses the frames that go through the model; without one all do. `steadiness` makes what is shown steady;
    without it each frame is shown by itself. A stage that fails ends the run: `run`
    raises that very exception once all threads are gone, and the sink is aborted. `finished` says that the sink has
    completed its output. `on_written` is called from the render thread with each frame that reached the sink;
    `on_progress` about ten times a second from the thread that runs.

    The frames of a file are explained in batches of `batch`, by default what suits the device: that costs less a frame.
    Of a live source the latest is explained, alone.
    """

    def __init__(
        self,
        source: Source,
        explainer: Explainer,
        renderer: Renderer,
        sink: Sink,
        *,
        policy: Policy = Policy.BLOCK,
        batch: int | None = None,
        carrier: Carrier | None = None,
        steadiness: Steadiness | None = None,
        on_written: Callable[[Frame, Explanation], None] | None = None,
        on_progress: Callable[[Ledger], None] | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._source = source
        self._explainer = explainer
        self._carrier = carrier or Carrier()
        self._steadiness = steadiness
        self._renderer = renderer
        self._sink = sink
        self._on_written = on_written or (lambda frame, explanation: None)
        self._on_progress = on_progress or (lambda ledger: None)
        self._is_live = policy is Policy.LATEST
        expected = source.media.expected_frames
        self._expected = math.inf if self._is_live else expected and expected / self._carrier.every
        self._batch = 1 if self._is_live else min(batch or explainer.usual_batch, expected or sys.maxsize)
        # One batch may wait while another is at work: enough to even out a slow stage, few enough to stop soon.
        batches = 1 if self._is_live else min(self._carrier.every, _MOST_BATCHES)
        self._captured: Channel[Frame] = Channel(self._batch * batches, policy)
        self._explained: Channel[tuple[Frame, Explanation, DevicePlanes | None]] = Channel(self._batch)
        self._transfer = transfer_to(explainer.device)
        self._stopping = threading.Event()
        works = {"capture": self._capture, "explain": self._explain, "render": self._render}
        self._workers = Workers(works, on_failure=self._give_up)
        self.finished = False

    def run(self) -> Ledger:
        """Run to the end of the source, or until KeyboardInterrupt in this thread.

        The first interrupt stops the reading: what was read is still explained and written, the output is completed,
        and the interrupt is raised again. A second one gives the run up.
        """
        with drawing_threads(), self._explainer:
            due = max(self._captured.capacity // self._carrier.every, 1)  # of the frames that are taken at once
            self._explainer.expect(self._expected, batch=due)
            return self._run()

    def _run(self) -> Ledger:
        interrupt: KeyboardInterrupt | None = None
        while not self._workers.are_over:
            try:
                self._follow()
            except KeyboardInterrupt as exc:
                if interrupt is None:
                    interrupt = exc
                    self._stopping.set()
                else:
                    self._workers.fail(exc)
            except BaseException as exc:
                self._workers.fail(exc)
        self._workers.join()
        self._tally()
        self.ledger.stop_clock()
        if not self.finished:
            self._sink.abort()
            raise self._workers.error or interrupt or RuntimeError("the run ended without finishing its output")
        if interrupt is not None:
            raise interrupt
        return self.ledger

    def _follow(self) -> None:
        self._workers.start()
        while not self._workers.are_over:
            self._workers.wait(_POLL_SECONDS)
            self._tally()
            self._on_progress(self.ledger)

    def _give_up(self) -> None:
        self._stopping.set()
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
        clock = self.ledger.stages["explain"]
        for frames in self._captured.batches(self._captured.capacity):
            begin = time.perf_counter()
            there = {frame.index: uploaded(frame.picture, self._transfer) for frame in frames}

            def explain(due: Sequence[Frame], there: Uploaded = there) -> list[Explanation]:
                uploads = [there[frame.index] for frame in due]
                return self._explainer.explain(due, uploaded=uploads, heat=self._steadiness is None)

            explanations = self._carrier.explanations(frames, explain)
            if self._steadiness is not None:
                explanations = list(map(self._steadiness, frames, explanations))
            seconds_per_frame = (time.perf_counter() - begin) / len(frames)
            for frame, explanation in zip(frames, explanations, strict=True):
                clock.add(seconds_per_frame)
                if explanation.age_frames:
                    self.ledger.carried += 1
                else:
                    self.ledger.explained += 1
                self._explained.put((frame, explanation, there[frame.index]))
        self._explained.close()

    def _render(self) -> None:
        render_clock, write_clock = self.ledger.stages["render"], self.ledger.stages["write"]
        for frame, explanation, there in self._explained:
            with render_clock.measure():
                picture: av.VideoFrame = self._renderer(frame, explanation, there)
            with write_clock.measure():
                self._sink.write(picture, frame)
            self.ledger.written += 1
            self.ledger.latency.add(time.perf_counter() - frame.captured_seconds)
            self._on_written(frame, explanation)
        if self.ledger.written:  # nothing is, where the run was interrupted before the first frame
            self.ledger.verified = self._sink.finish()
            self.finished = True

    def _tally(self) -> None:
        self.ledger.dropped = self._captured.dropped + self._explained.dropped
        self.ledger.unreadable, self.ledger.damaged = self._source.unreadable, self._source.damaged
        self.ledger.unreadable_files = list(self._source.unreadable_files)
