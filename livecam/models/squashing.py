"""The calls by which a model makes probabilities of logits: softmax and sigmoid, as modules, functions or methods."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SCORES = {
    **dict.fromkeys(("softmax", "special_softmax", "log_softmax", "special_log_softmax"), "softmax"),
    **dict.fromkeys(("sigmoid", "special_expit", "log_sigmoid", "logsigmoid"), "sigmoid"),
}
"""The scores that functions of PyTorch make, by the names of these without underscores at the ends."""


class Squashing(NamedTuple):
    """A call of such a function.

    Attributes:
        scores: The kind of scores that it makes: "softmax" or "sigmoid".
        logits: Its input.
        result: Its output: probabilities or their logarithms.
    """

    scores: str
    logits: Tensor
    result: Tensor

    def makes(self, scores: Tensor, whole: float = 1) -> bool:
        """Return True if the model's scores (1, classes) are what this call made of logits in that order.

        With `whole` 100 they are that in percent.
        """
        if self.result.numel() != scores.numel():
            return False
        result, logits = self.result.reshape(scores.shape), self.logits.reshape(scores.shape).float()
        expected = logits.softmax(dim=1) if self.scores == "softmax" else logits.sigmoid()
        are_probabilities = any(torch.allclose(each.float(), expected, atol=1e-2) for each in (result, result.exp()))
        return are_probabilities and torch.equal((whole * result).to(scores.dtype), scores)


class Squashings(TorchFunctionMode):
    """Records the squashing calls of a model that runs inside its block.

    Args:
        last: Keep this many of the last calls; None for all.

    Attributes:
        calls: The calls of the last run.
    """

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.calls: deque[Squashing] = deque(maxlen=last)

    def __enter__(self) -> Squashings:
        self.calls.clear()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, and record it if it is one of these."""
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "").split(".")[0]
        scores = _SCORES.get(name.strip("_"))
        if scores is None:
            return function(*args, **kwargs)
        logits = next(each for each in (*args, *kwargs.values()) if isinstance(each, Tensor))
        logits = logits.clone() if name.endswith("_") else logits  # it is about to be overwritten
        result = function(*args, **kwargs)
        self.calls.append(Squashing(scores, logits, result))
        return result
