"""The task: an interface that hides the meaning of a model's output from the code that explains it.

In `livecam.explain`, `classification` implements it for classes, `functions` for functions of the output,
`segmentation` for classes of pixels, `detection` for boxes, and `words` for prompts; `first_look` creates one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from livecam.explain.answer import PictureAnswer
from livecam.explain.forward import Objective
from livecam.explain.methods import Method
from livecam.explain.targets import Wanted
from livecam.explanation import Explanation
from livecam.picture.media import Region


class Selection(Protocol):
    """Chooses the targets to explain for each picture, and names them in the explanation."""

    @property
    def shown(self) -> int:
        """The number of targets shown for each picture, without a runner-up."""

    @property
    def objective(self) -> Objective:
        """The score of a target that the method explains."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that it reads at each call and that may change during a run, as in `Task`."""

    def becomes(self, other: Selection) -> bool:
        """Select from now on what `other` selects, in the same compiled program; return False if that cannot be done.

        The other selection is of the same task and method.
        """

    def __call__(self, output: Tensor) -> Tensor:
        """Return the targets to explain, (B, K) int64, for a model's output."""

    def one_for_each(self, output: Tensor) -> Tensor:
        """Return the first target for the first picture, the second for the second, and so on: (B, 1)."""

    def explanation(self, answer: PictureAnswer, *, region: Region, frame_index: int, way: str = "") -> Explanation:
        """Convert a picture's answer to an explanation with names; the heatmaps are 0 until `Heat` fills them.

        `way` is how its maps were made, for captions.
        """


class Task(Protocol):
    """The meaning of one model's output.

    The model may return anything. Only the task knows where the output is in it: a tensor whose first axis counts the
    pictures of a batch. Methods that take or return tensors must use only operations that can be traced.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that the user may change during a run without compiling anew, such as embeddings of prompts.

        The methods below compute with these very tensors, which every engine reads at each call. Change their values by
        putting others of the same shapes and dtypes, on the model's device, in their place while nothing is explained.
        """

    def listening(self) -> AbstractContextManager[object]:
        """Return the block in which the model has to run, so that its output can be read."""

    def read(self, output: Any) -> Tensor:
        """Return the output in what the model returned for a batch in its last run."""

    def takes(self, method: Method) -> bool:
        """Return True if a method can explain what the output means."""

    def selection(self, wanted: Sequence[Wanted], method: Method, *, runner_up: bool = False) -> Selection:
        """Create the selection of the targets that the user `wanted`; `runner_up` adds the next best one.

        Raises ModelError if they do not fit the model or the method.
        """

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `scores`, `best` and `best_scores` of `Answer` for a model's output and the targets explained."""

    def seen(self, region: Region, point: tuple[float, float] | None) -> tuple[float, ...]:
        """Return what `see` has to be told of a picture; pictures of which it is the same are explained together.

        Args:
            region: The part of the upright picture that the model's input shows.
            point: A point that the user chose, x and y in fractions of the upright picture; None for none.

        Raises:
            ModelError: The point is not in the region.
        """

    def see(self, seen: tuple[float, ...]) -> None:
        """Prepare for pictures of which `seen` has returned this."""

    def pixels(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Return how much each pixel counts in the scores of the targets, (B, K, H, W); None for one score a class."""

    def where(self, output: Tensor, targets: Tensor) -> Tensor | None:
        """Return where the targets are in each picture, (B, ...), for `Selection.explanation`; None if everywhere."""

    def total(self, output: Any) -> Tensor:
        """Reduce what the model returns to one differentiable number, which depends on the score of every target.

        Layers that its gradient reaches can be explained.
        """

    def holds_scores(self, channels: int) -> bool:
        """Return True if a layer with this number of channels holds the scores themselves."""
