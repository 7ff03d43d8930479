"""The explainer's thread of a live run: explains the newest frame of every source together, as the user asks."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from livecam.errors import LivecamError, ModelError
from livecam.explain.explainer import Explainer
from livecam.explain.heat import Steadiness
from livecam.explanation import Explanation
from livecam.live.feed import Explained, Feed, Shown
from livecam.live.question import Question
from livecam.live.stages import stages
from livecam.models.imagenet import groups_for
from livecam.picture.frame import Frame
from livecam.picture.transfer import DevicePlanes, transfer_to, uploaded
from livecam.run.clip_window import Clip, ClipWindow, of_frame
from livecam.run.clips import window_for
from livecam.run.workers import GivenUp

log = logging.getLogger("livecam")

_GATHER_SECONDS = 0.01
"""How long a frame waits for frames of the other sources, to be explained in one batch with them."""

_SETTLING_SECONDS = 5.0
"""How long a method must stay before it is compiled: one that is only passed while switching is never compiled."""
_SLOW_SECONDS = 0.5
"""A picture that takes longer has its progress shown, if its method takes many forward passes."""

_LOOK_SECONDS, _MOST_LEFT_OUT = 10.0, 0.25
"""How often it is looked if a stride is kept, and how many clips may be left out for each that is explained."""

_RANKS = ("top1", "top2", "top3", "top4", "top5")


class ExplainerThread:
    """Explains the frames that wait in the feeds until it is stopped; its thread executes `run`.

    Args:
        feeds: Supply the frames and take back the explained ones.
        changed: The condition that the feeds share.
        explainer: Explains the frames; no other thread may use it meanwhile.
        tell: Called with a line for the user if a question cannot be answered.
        is_steady: Make the heatmaps steady from frame to frame.
        shows_every: Have the feeds show every frame, not only explained ones.
        stride: Explain a clip each `stride` frames, if the model sees clips; None for as many as there is time for of a
            live source, and one for each time cell of a file.
        settling_seconds: How long a question must stay before its method is compiled.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        changed: threading.Condition,
        explainer: Explainer,
        tell: Callable[[str], None],
        *,
        is_steady: bool,
        shows_every: bool,
        stride: int | None = None,
        settling_seconds: float = _SETTLING_SECONDS,
    ) -> None:
        self.question = self._answered = Question(
            explainer.method,
            explainer.wanted_layer,
            prompts=explainer.prompts,
            at=explainer.point and str(explainer.point),
            threshold=explainer.heat_options.threshold,
            is_steady=is_steady,
        )
        """The last question that was asked and not refused."""
        walked, wanted = stages(explainer.survey), explainer.wanted_layer
        self.layers = [*([] if wanted in walked else [wanted]), *walked]
        """The layers among which the user walks, None for the automatic choice."""
        self.layer_titles = list(map(explainer.title_of, self.layers))
        """What captions call them."""
        self.methods = explainer.methods
        """The methods among which the user walks: those that can explain the model."""
        self.own_targets, self._own_labels = explainer.own_targets, explainer.labels
        """The targets that are explained if the user asks for none."""
        self.takes_points = explainer.takes_points
        """True if the user can choose a point of the picture."""
        self.detects = explainer.detects
        """True if a point stands for a box, whatever the target is."""
        self.groups = tuple(groups_for(explainer.labels))
        """The names of everyday groups of classes."""
        self.targets = [*([] if explainer.explains_best else [None]), *_RANKS]
        """The targets among which the user walks, None for the original one."""
        explainer.report_forwards(self._report)
        self._feeds = feeds
        self._changed = changed
        self._explainer = explainer
        self._transfer = transfer_to(explainer.device)
        self._tell = tell
        self._shows_every = shows_every
        self._stride = stride
        self._windows: dict[Feed, ClipWindow] = {}
        self._looked_seconds = -math.inf
        self._counted: tuple[int, int] | None = None  # the clips explained and left out, at the last look
        self._has_told_stride = False
        self._settling_seconds = settling_seconds
        self._settled_seconds = math.inf
        self._begin_seconds = math.inf
        self._share_done: float | None = None  # by a method of many forward passes
        self._is_preparing = False
        self._is_stopped = False
        self._reset_steadiness()
        self._set_shows_every()

    def ask(self, question: Question) -> None:
        """Switch to this question from the next frame on. Thread-safe."""
        with self._changed:
            self.question = question
            self._set_shows_every()
            self._changed.notify_all()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what a target can be."""
        return self.question.prompts or self._own_labels

    def stop(self) -> None:
        """Make the thread end. Thread-safe."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    @property
    def progress(self) -> str:
        """How far the picture is, once a method of many forward passes takes long; else empty."""
        share_done, seconds = self._share_done, time.monotonic() - self._begin_seconds
        if share_done is None or seconds < _SLOW_SECONDS:
            return ""
        return f"{self._explainer.method}: {share_done:.0%} done"

    def run(self) -> None:
        """Explain until stopped, even after the sources have ended: the user may change the question while paused.

        The frames come once the model is warm: explaining takes longer the first time.
        """
        self._warm_up()
        for feed in self._feeds:
            self._take_clips(feed)
            feed.begin()
        while self._waited_for_work():
            self._follow_question()
            if waiting := [feed for feed in self._feeds if feed.waits_for_explainer]:
                self._explain(waiting)

    def _warm_up(self) -> None:
        media = self._feeds[0].source.media
        with self._progress_shown():
            self._explainer.warm_up(media.height, media.width, batch=len(self._feeds))

    def _take_clips(self, feed: Feed) -> None:
        """Have clips of the frames explained, by a model of clips. Raises LivecamError if the stride does not fit."""
        window = window_for(self._explainer, feed.source.media, feed.source.name, self._stride)
        if window is not None:
            if feed.source.is_live:
                window.stride = window.stride or 1
            self._windows[feed] = window
            feed.take_clips(window)

    def _waited_for_work(self) -> bool:
        """Wait for a frame or another question; return False if there is nothing more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._is_asked or self._has_work())
            self._changed.wait_for(
                lambda: all(feed.waits_for_explainer or feed.is_silent for feed in self._feeds), _GATHER_SECONDS
            )
            return not self._is_stopped

    def _has_work(self) -> bool:
        return any(feed.waits_for_explainer for feed in self._feeds)

    @property
    def _is_asked(self) -> bool:
        return self.question != self._answered

    def _follow_question(self) -> None:
        if self._is_asked:
            self._change()
        elif time.monotonic() >= self._settled_seconds:
            self._settled_seconds = math.inf
            self._prepare()

    def _change(self) -> None:
        """Switch to another question. If it does not fit the model, tell the user why and keep the previous one."""
        question = self.question
        try:
            self._answer(question)
        except LivecamError as exc:
            self._tell(str(exc))
            with self._changed:
                if self.question is question:  # and no other question was asked meanwhile
                    self.question = self._answered
        else:
            self._answered = question
            self._reset_steadiness()
            self._explain_again()
        with self._changed:
            self._set_shows_every()
            self._changed.notify_all()

    def _answer(self, question: Question) -> None:
        """Have the explainer answer another question. Raises LivecamError; then nothing changes."""
        options = dataclasses.replace(self._explainer.heat_options, threshold=question.threshold)
        if question.aim != self._answered.aim:
            self._explainer.change(*question.aim)
            self._settled_seconds = time.monotonic() + self._settling_seconds
        self._explainer.heat_options = options

    def _prepare(self) -> None:
        """Let the explainer compile the method in use."""
        with self._changed:
            self._is_preparing = True
            self._set_shows_every()
        self._explainer.expect(math.inf, batch=len(self._feeds))
        with self._changed:
            self._is_preparing = False
            self._set_shows_every()

    def _set_shows_every(self) -> None:
        """Have the feeds show every frame, with the last map, while the explainer is busy compiling or switching."""
        for feed in self._feeds:
            feed.shows_every = self._shows_every or self._is_preparing or self._is_asked

    def _explain(self, feeds: Sequence[Feed]) -> None:
        if self._windows:
            self._explain_clips(feeds)
            return
        frames = [feed.take_to_explain() for feed in feeds]
        begin = time.perf_counter()
        explained = self._explained(feeds, frames)
        seconds = time.perf_counter() - begin
        for feed, each in zip(feeds, explained, strict=True):
            feed.ledger.stages["explain"].add(seconds)
            feed.put_explained(each)

    def _explain_clips(self, feeds: Sequence[Feed]) -> None:
        taken = {feed: clip for feed in feeds if (clip := feed.take_clip())}
        if not taken:
            return
        begin = time.perf_counter()
        explained = self._explained_clips(list(taken), *zip(*taken.values(), strict=True))
        seconds = time.perf_counter() - begin
        for feed, of_feed in zip(taken, explained, strict=True):
            feed.ledger.stages["explain"].add(seconds)
            feed.put_explained(*of_feed)
            if self._stride is not None:
                feed.ledger.clips_left_out = self._windows[feed].left_out
                self._tell_stride(self._stride)

    def _tell_stride(self, stride: int) -> None:
        """Tell once if there is no time for the stride."""
        now, ledgers = time.monotonic(), [feed.ledger for feed in self._feeds]
        if self._has_told_stride or now < self._looked_seconds + _LOOK_SECONDS:
            return
        counts = sum(ledger.clips for ledger in ledgers), sum(ledger.clips_left_out for ledger in ledgers)
        clips, left_out = (count - before for count, before in zip(counts, self._counted or counts, strict=True))
        self._looked_seconds, self._counted = now, counts
        if left_out > _MOST_LEFT_OUT * clips:  # not the first time: it may still become faster
            self._has_told_stride = True
            frames = stride * (1 + left_out / clips)
            log.warning("a stride of %d cannot be kept: a clip is explained each %.0f frames", stride, frames)

    def _report(self, done: int, total: int) -> None:
        """Tell how far a method is that takes many forward passes. Raises GivenUp, in the middle of a picture."""
        if self._is_stopped:
            raise GivenUp
        self._share_done = done / total

    @contextmanager
    def _progress_shown(self) -> Iterator[None]:
        self._begin_seconds = time.monotonic()
        yield
        self._begin_seconds, self._share_done = math.inf, None

    def _explain_again(self) -> None:
        """Explain the paused pictures on the screen again."""
        for feed in self._feeds:
            shown = feed.on_screen
            if feed.is_paused and shown is not None:
                feed.revise(shown, self._explained_again(feed, shown))

    def _explained_again(self, feed: Feed, shown: Shown) -> Explained:
        clip = shown.explained.clip
        if clip is None:
            (explained,) = self._explained([feed], [shown.frame])
        else:
            ((explained,),) = self._explained_clips([feed], [clip], [[shown.explained.frame]])
        return explained

    def _explained(self, feeds: Sequence[Feed], frames: Sequence[Frame]) -> list[Explained]:
        """Explain a frame of each of these feeds. On a GPU, the frame is uploaded once for explaining and drawing."""
        there = [uploaded(frame.picture, self._transfer) for frame in frames]
        with self._progress_shown():
            explanations = self._answers(frames, there)
        if self._answered.is_steady:
            steady = [self._steadiness[feed] for feed in feeds]
            explanations = [make(frame, each) for make, frame, each in zip(steady, frames, explanations, strict=True)]
        facts = self._facts
        return [
            Explained(frame, explanation, facts, planes)
            for frame, explanation, planes in zip(frames, explanations, there, strict=True)
        ]

    def _answers(self, frames: Sequence[Frame], there: Sequence[DevicePlanes | None]) -> list[Explanation]:
        """Explain frames. If the model does not see the point of the question in one, tell it and go on without."""
        explain = partial(self._explainer.explain, frames, uploaded=there, heat=not self._answered.is_steady)
        try:
            return explain()
        except ModelError as exc:
            if self._answered.at is None:
                raise
            self._tell(str(exc))
            self._leave_point()
            return explain()

    def _leave_point(self) -> None:
        answered, without = self._answered, dataclasses.replace(self._answered, at=None)
        self._explainer.change(*without.aim)
        with self._changed:
            self._answered = without
            if self.question == answered:
                self.question = without

    def _explained_clips(
        self, feeds: Sequence[Feed], clips: Sequence[Clip], frames: Sequence[Sequence[Frame]]
    ) -> list[list[Explained]]:
        """Explain a clip of each of these feeds, and by it some frames that it contains."""
        with self._progress_shown():
            cells_of_clips = self._explainer.explain_clips(clips)
        facts, explained = self._facts, []
        for feed, clip, cells, of_clip in zip(feeds, clips, cells_of_clips, frames, strict=True):
            self._windows[feed].settle_stride(cells)
            explanations = [of_frame(cells, frame) for frame in of_clip]
            if self._answered.is_steady:
                explanations = list(map(self._steadiness[feed], of_clip, explanations))
            explained.append(
                [Explained(frame, one, facts, clip=clip) for frame, one in zip(of_clip, explanations, strict=True)]
            )
        return explained

    @property
    def _facts(self) -> dict[str, Any]:
        return {**self._explainer.report(), "layer_title": self._explainer.layer_title}

    def _reset_steadiness(self) -> None:
        """Forget scale and maps, which belong to the previous question."""
        options = self._explainer.heat_options
        self._steadiness = {feed: Steadiness(options, feed.finder) for feed in self._feeds}
