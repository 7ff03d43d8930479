"""The question that the user of a live run asks the explainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol


@dataclass(frozen=True)
class Question:
    """The method, layer and classes that the user chose, and how their heat is made.

    Attributes:
        method: The method that explains.
        layer: The layer whose maps are shown; None for the automatic choice.
        target: The class or classes that are explained.
        top: In place of a target: the number of best classes. If both are None, the explainer's original targets are
            explained.
        prompts: The texts that pictures are compared with; empty for a model with classes of its own.
        at: The point that is explained, as in `livecam.explain.point.At`; None for none.
        threshold: The threshold of the heat, as in `HeatOptions`.
        is_steady: Make the heatmaps steady from frame to frame.
    """

    method: str
    layer: str | int | Sequence[str | int] | None = None
    target: int | str | None = None
    top: int | None = None
    prompts: tuple[str, ...] = ()
    at: str | None = None
    threshold: float | str = 0.0
    is_steady: bool = True

    @property
    def aim(self) -> tuple[Any, ...]:
        """The part of the question that is for the model: the arguments of `Explainer.change`."""
        return self.method, self.layer, self.target, self.top, self.prompts or None, self.at

    def about(self, prompt: str) -> Question:
        """Return the question about a prompt, which is added to the others unless it is among them.

        With a minus before it, it is taken from them, and the best one is explained.
        """
        removed = prompt.removeprefix("-").strip()
        if prompt.startswith("-") and removed in self.prompts:
            rest = tuple(each for each in self.prompts if each != removed)
            return replace(self, prompts=rest or (removed,), target=None, top=1)
        prompts = self.prompts if prompt in self.prompts else (*self.prompts, prompt)
        return replace(self, prompts=prompts, target=prompts.index(prompt), top=None)


class Explaining(Protocol):
    """Answers questions, one after the other, as `livecam.live.explainer_thread` does."""

    question: Question
    """The last question that was asked and not refused."""

    @property
    def own_targets(self) -> Sequence[Any]:
        """The targets that are explained if the user asks for none, as in `Explainer`."""

    @property
    def targets(self) -> Sequence[Any]:
        """The targets among which the user walks."""

    @property
    def labels(self) -> Sequence[str]:
        """The names of what a target can be; empty if they have none."""

    @property
    def detects(self) -> bool:
        """True if a point stands for a box, whatever the target is."""

    def ask(self, question: Question) -> None:
        """Switch to this question from the next frame on."""
