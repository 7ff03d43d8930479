"""Attention: the weights with which the tokens of a model attend to one another, wherever its code computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_SOFTMAX = ("softmax", "special_softmax")
"""The names of PyTorch's functions that a model may make its weights with, as function or as method."""


def _unguarded(function: Any) -> Any:
    """Return a copy of a function of `torch.nn.functional` that does not hand itself to function modes."""
    copy = FunctionType(
        function.__code__,
        {**vars(functional), "has_torch_function": lambda tensors: False},
        function.__name__,
        function.__defaults__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_multi_head_attention = _unguarded(functional.multi_head_attention_forward)


class AttentionMode(TorchFunctionMode, ABC):
    """Hands every attention that is computed inside its block to a subclass, which may replace the weights.

    Attention is `scaled_dot_product_attention`, also that within `torch.nn.MultiheadAttention`, or a softmax over the
    last axis of (B, heads, queries, keys) or of (B * heads, queries, keys).
    """

    @abstractmethod
    def wants(self, shape: tuple[int, ...]) -> bool:
        """Return True to be given the weights of this shape, which the fused function does not compute otherwise."""

    @abstractmethod
    def replaced(self, weights: Tensor) -> Tensor:
        """Return the weights to go on with."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, or compute its attention in steps."""
        kwargs = kwargs or {}
        if function is functional.multi_head_attention_forward:
            with self:  # a mode is left while it handles a call, and would not see the attention inside of this one
                return _multi_head_attention(*args, **kwargs)
        if function is functional.scaled_dot_product_attention:
            return self._attended(*args, **kwargs)
        result = function(*args, **kwargs)
        if getattr(function, "__name__", "") in _SOFTMAX and _is_attention(result, *args, **kwargs):
            return self.replaced(result) if self.wants(tuple(result.shape)) else result
        return result

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        shape = *query.shape[:-1], key.shape[-2]
        if query.shape[:-2] != key.shape[:-2] or not self.wants(shape):
            return functional.scaled_dot_product_attention(query, key, value, *args, **kwargs)
        return self.replaced(_weights(query, key, *args, **kwargs)) @ value


def _is_attention(result: Tensor, logits: Tensor, dim: int | None = None, *_: Any, **__: Any) -> bool:
    return result.ndim in (3, 4) and dim in (-1, result.ndim - 1)


def _weights(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return the weights (..., queries, keys) of `torch.nn.functional.scaled_dot_product_attention` in evaluation."""
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1)
