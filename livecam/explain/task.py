"""The task: the seam between the meaning of a model's output and everything that explains it.

`livecam.explain.classification` is the one implementation. Another is a file beside it, and `Explainer` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from livecam.explain.answer import PictureAnswer
from livecam.explain.forward import Objective
from livecam.explain.methods import Method
from livecam.explanation import Explanation
from livecam.picture.media import Region


class Selection(Protocol):
    """Picks what is explained of each picture, and puts the answer into words."""

    @property
    def shown(self) -> int:
        """How many targets are shown of each picture, without a runner-up."""

    @property
    def objective(self) -> Objective:
        """The score of a target that the method explains."""

    def __call__(self, output: Tensor) -> Tensor:
        """Return the targets to explain, (B, K) int64, for a model's output."""

    def one_for_each(self, output: Tensor) -> Tensor:
        """Return the first target for the first picture, the second for the second, and so on: (B, 1)."""

    def explanation(self, answer: PictureAnswer, *, region: Region, frame_index: int) -> Explanation:
        """Name what a picture's answer says; the heatmaps are dark until heat is made of the maps."""


class Task(Protocol):
    """The meaning of one model's output.

    The output is a tensor whose first axis counts the pictures of a batch; only the task knows more about it. All that
    takes or returns tensors has to be made of operations that can be traced.
    """

    def selection(self, wanted: Sequence[int | str], method: Method, *, runner_up: bool = False) -> Selection:
        """Choose what is explained: `wanted` as the user named it, and the next best thing with `runner_up`.

        Raises ModelError for what does not fit the model or the method.
        """

    def scores(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `scores`, `best` and `best_scores` of `Answer` for a model's output and the targets explained."""

    def strongest(self, output: Tensor) -> Tensor:
        """Return one number of a model's output, differentiable: what its gradient reaches can be explained."""

    def holds_scores(self, channels: int) -> bool:
        """Return True if a layer of so many channels holds the scores themselves."""
