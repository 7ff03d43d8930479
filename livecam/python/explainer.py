"""The explainer that Python code gets: it takes whatever holds a picture."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, overload

from livecam.explain import explainer
from livecam.explain.point import At
from livecam.explain.targets import Target
from livecam.explain.time_cells import check_takes, check_takes_pictures
from livecam.picture.frame import Frame
from livecam.python.clip import ClipExplanation, frames_of
from livecam.python.explanation import Explanation
from livecam.python.pictures import Picture, Pictures, are_several_clips, frame_of, unbatched
from livecam.python.streaming import SourceName, streamed
from livecam.run.clip_window import ClipWindow
from livecam.run.clips import ClipExplanations
from livecam.sources import LiveOptions
from livecam.sources.demo import DEMO
from livecam.text import redacted


class Explainer(explainer.Explainer):
    __doc__ = explainer.Explainer.__doc__

    @overload
    def __call__(self, picture: Picture, *, target: Target | None = None, at: At | None = None) -> Explanation: ...

    @overload
    def __call__(self, picture: Pictures, *, target: Target | None = None, at: At | None = None) -> Any: ...

    def __call__(self, picture: Picture | Pictures, *, target: Target | None = None, at: At | None = None) -> Any:
        """Explain a picture; or several pictures of any sizes, which gives a list of explanations.

        If the model takes clips, several pictures are one clip, the oldest first, as many as `clip_frames` says. That
        gives a `ClipExplanation`. Several clips, as a list of lists or an array of five axes, give a list of these.

        Args:
            picture: The path of a picture file; an image of Pillow; an array or a tensor on any device, (H, W),
                (H, W, channels) or (channels, H, W), of uint8 or of floats from 0 to 1, with 1, 3 or 4 channels: grey,
                RGB, or RGB and opacity, which is blended with white; or a frame of `open_source`. Where both axes can
                hold the channels, they are last in an array and first in a tensor. Several pictures are a list or tuple
                of these, or an array or tensor of four axes.
            target: Overrides the explainer's own target.
            at: Overrides the explainer's own point.

        Raises:
            InputError: A file cannot be read or is no picture, or values do not say which picture they mean: floats
                outside of 0..1, for instance. Preprocessed inputs are for `cam`.
            ModelError: The target is unknown.
        """
        pictures, size = unbatched(picture), self.usual_batch
        if self.clip_frames > 1 and are_several_clips(pictures):
            return [self._of_clip(clip, target, at) for clip in pictures]
        if not isinstance(pictures, list | tuple):
            return self._explained([pictures], target, at)[0]
        if self.clip_frames > 1:
            return self._of_clip(pictures, target, at)
        parts = [pictures[first : first + size] for first in range(0, len(pictures), size)]
        return list(chain.from_iterable(self._explained(part, target, at) for part in parts))

    def stream(
        self,
        source: SourceName,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        options: LiveOptions | None = None,
    ) -> Generator[tuple[Frame, Explanation], None, None]:
        """Explain the frames of any source in a loop: `for frame, explanation in explainer.stream("clip.mp4"):`.

        Of a file, all frames are explained. Of a camera or a stream the newest is explained; others came too fast and
        are dropped, and `frame.dropped` says how many before each. Each heatmap is that of the frame beside it, and is
        not steadied from frame to frame as in `annotate`. If the model takes clips, each frame comes once its clip has
        been explained, with the map of its own time. The source is opened by the first step of the loop, and
        closed when the loop ends; to close it earlier, call `close()` on what this function returned.

        Args:
            source: A video file, a picture, a folder, a pattern or a list of pictures, numbered pictures such as
                `img_%04d.png`, "demo:", or "-" for a video from standard input; or the number of a camera, or the URL
                of a stream or video.
            start_seconds: Where to begin in a video file. The times of its frames then count from there.
            duration_seconds: How much of a video or of a live source to take; None for all.
            options: What to ask a camera for, which of several video streams to take, and so on.

        Yields:
            The frame, with its `index`, `pts_seconds`, `path` of a picture, and pixels as `to_rgb()`; and its
            explanation.

        Raises:
            InputError: The source cannot be opened or read.
        """
        coming = streamed(source, start_seconds, duration_seconds, options or LiveOptions(), self.expect)
        with self, closing(coming) as frames:
            if not (isinstance(source, str) and DEMO.recognises(source)):
                self.tell_limits()
            if self.clip_frames > 1:
                name = redacted(str(source)) if isinstance(source, str | Path) else "the video"
                window = ClipWindow(self.prepared, self.clip_frames, self.frames_per_second, name=name)
                yield from self._by_clips(frames, window)
            else:
                yield from ((frame, self(frame)) for frame in frames)

    def _by_clips(self, frames: Iterable[Frame], window: ClipWindow) -> Iterator[tuple[Frame, Explanation]]:
        """Explain frames, each by its own time cell of the clip whose middle is nearest."""
        for frame, data in ClipExplanations(window, self.explain_clips).of(map(self._of_video, frames)):
            yield frame, Explanation.of(data, frame, self.method)

    def _of_video(self, frame: Frame) -> Frame:
        if frame.path is not None:
            check_takes_pictures(self.classifier)
        return frame

    def _of_clip(self, pictures: Any, target: Target | None, at: At | None) -> ClipExplanation:
        self._checked_point(at)  # no task of clips takes one
        frames = frames_of(list(pictures))
        (cells,) = self.explain_clips([self.prepared(frames)], target=target)
        by_index = {frame.index: frame for frame in frames}
        return ClipExplanation(
            frames, tuple(Explanation.of(cell, by_index[cell.frame_index], self.method) for cell in cells)
        )

    def _explained(self, pictures: Sequence[Picture], target: Target | None, at: At | None) -> list[Explanation]:
        check_takes(self.classifier, clips=False)
        frames = list(map(frame_of, pictures))
        if any(frame.path for frame in frames):
            self.tell_limits()
        explained = self.explain(frames, target=target, at=at)
        return [Explanation.of(data, frame, self.method) for data, frame in zip(explained, frames, strict=True)]
