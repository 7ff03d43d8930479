"""Taps of the blocks of a transformer, which record its attention and let the model score what each block returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from livecam.models.attention import AttentionMode
from livecam.models.survey.attention import TargetAttention, TargetBlock
from livecam.models.survey.grid import Grid


class BlockTaps:
    """Records the attention of blocks.

    To be differentiated, what each of the explained blocks returns is scored as what the last one returns is: it is
    appended to the batch behind the last block, where the rest of the model runs once for all. Each block has a tape of
    its own, from its attention to its score.

    Args:
        grid: The grid of the tokens.
        blocks: The blocks to explain, in the order of execution.
        differentiates: Their scores are to be differentiated. Otherwise the attention of all blocks is recorded, up to
            the last one to explain.

    Attributes:
        outputs: The model's outputs for what each of the blocks to explain returned in the last run, (B, ...) each.
    """

    def __init__(self, grid: Grid, blocks: Sequence[TargetAttention], differentiates: bool) -> None:
        self._grid, attention = grid, blocks[-1]
        count, last = len(attention.blocks), attention.number + 1
        explained = [attention.blocks[each.number] for each in blocks]
        pool = [attention.pool] if attention.pool and (differentiates or last == count) else []
        recorded = (pool or explained) if differentiates else [*attention.blocks[:last], *pool]
        self._taps = [AttentionTap(block, differentiates=differentiates) for block in recorded]
        self._has_pool = bool(pool)
        self._reading = self._reading_of(attention)
        self._last = attention.blocks[-1]
        self._explains_last = last == count
        self._appended = [block for block in explained if block != self._last] if differentiates else []
        self._returned: list[Tensor] = []
        self._parts = 1  # of the batch behind the last block
        self.outputs: list[Tensor] = []

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Hook into the blocks of `model` inside the block."""
        with ExitStack() as stack:
            stack.callback(model.register_forward_pre_hook(self._begin).remove)
            for tap in self._taps:
                stack.enter_context(tap.attached(model))
            for block in self._appended:
                stack.enter_context(around_call(model, block, behind=self._cut))
            if self._appended:
                stack.enter_context(around_call(model, self._last, behind=self._append))
            yield
        self._begin(model, ())

    def own(self, output: Tensor) -> Tensor:
        """Return the model's output for the pictures, given that for them and what was appended."""
        own, *of_others = output.chunk(self._parts)
        self.outputs = [*of_others, own] if self._explains_last else of_others
        return own

    @property
    def missing(self) -> str:
        """The name of a block that the last run of the model did without, empty if there is none."""
        return next((tap.missing for tap in self._taps if tap.missing), "")

    @property
    def points(self) -> list[Tensor]:
        """The weights to differentiate with respect to."""
        return [tap.point for tap in self._taps]

    def folded(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return weights or their gradients as (B, heads, queries, keys): those of each block, or for each block."""
        of_taps = [tap.folded(each) for tap, each in zip(self._taps, weights, strict=True)]
        return [part for each in of_taps for part in each.chunk(self._parts)] if self._has_pool else of_taps

    @property
    def attention(self) -> list[Tensor]:
        """The weights of all blocks up to the last one that is explained, (B, heads, tokens, tokens)."""
        weights = self.folded(self.points)
        return weights[:-1] if self._has_pool else weights

    def readings(self) -> Tensor:
        """Return the share that each token behind the last block has in what the scores come from, (B, n, tokens).

        The n of a pooling head are those of its queries in all heads. Without one, B and n are 1.
        """
        weights = self.folded(self.points)[-1]
        return weights.flatten(1, 2) if self._has_pool else torch.tensor([[self._reading]], device=weights.device)

    def _reading_of(self, attention: TargetAttention) -> list[float]:
        """Return the share of each token without a pooling head: class tokens, or if none is read, those read."""
        of_picture = {token for first, end in self._grid.spans for token in range(first, end)}
        readers = set(attention.readers) - of_picture or set(attention.readers)
        tokens = attention.blocks[-1].shape[-1]
        return [1 / len(readers) if token in readers else 0.0 for token in range(tokens)]

    def on_grid(self, of_tokens: Tensor) -> Tensor:
        """Return values of tokens, (B, tokens), at their places on the picture, (B, h, w)."""
        return replace(self._grid, layout="tokens").fold(of_tokens[:, :, None])[:, 0]

    def _begin(self, model: nn.Module, inputs: object) -> None:
        """Forget the last run."""
        self._returned, self._parts, self.outputs = [], 1, []
        for tap in self._taps:
            tap.forget()

    def _cut(self, output: Any) -> Any:
        """Record what a block returns, and let the model go on without its tape."""
        tokens = _tokens(output)
        self._returned.append(tokens)
        return _with_tokens(output, tokens.detach())

    def _append(self, output: Any) -> Any:
        """Append what the others returned to what the last block returns."""
        self._parts = 1 + len(self._returned)
        return _with_tokens(output, torch.cat([_tokens(output), *self._returned], dim=self._grid.batch_axis))


class AttentionTap(AttentionMode):
    """Records the attention of one block. To be differentiated, the tape begins at its weights."""

    def __init__(self, block: TargetBlock, *, differentiates: bool) -> None:
        super().__init__()
        self._block, self._differentiates = block, differentiates
        self._point: Tensor | None = None

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Hook into the block, which is a part of `model`, inside the block."""
        with around_call(model, self._block, before=self._begin, behind=self._end):
            yield

    def forget(self) -> None:
        """Forget the weights."""
        self._point = None

    @property
    def point(self) -> Tensor:
        """The weights as the model has them."""
        assert self._point is not None
        return self._point

    @property
    def missing(self) -> str:
        """The name of the block if the last run of the model did without it, else empty."""
        return "" if self._point is not None else self._block.name

    def folded(self, weights: Tensor) -> Tensor:
        """Return weights, or their gradient, as (B, heads, queries, keys)."""
        return weights.reshape(-1, *self._block.shape[1:])

    def wants(self, shape: tuple[int, ...]) -> bool:
        """Return True for the queries and keys of the block."""
        return shape[-2:] == self._block.shape[-2:]

    def replaced(self, weights: Tensor) -> Tensor:
        """Record the weights."""
        self._point = weights.detach().requires_grad_() if self._differentiates else weights
        return self._point

    def _begin(self) -> None:
        self.__enter__()  # type: ignore[no-untyped-call]

    def _end(self, output: Any) -> None:
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]


@contextmanager
def around_call(
    model: nn.Module,
    block: TargetBlock,
    *,
    behind: Callable[[Any], Any],
    before: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Inside the block, call `before()` and `behind(output)` around one call of a module in each run of the model.

    What `behind` returns takes the place of the output. With `before` it is also called after an error, with None.
    """
    seen = 0

    def begin(model: nn.Module, inputs: object) -> None:
        nonlocal seen
        seen = 0

    def enter(module: nn.Module, inputs: object) -> None:
        nonlocal seen
        seen += 1
        if before and seen == block.call + 1:
            before()

    def leave(module: nn.Module, inputs: object, output: Any) -> Any:
        return behind(output) if seen == block.call + 1 else None

    handles = [
        model.register_forward_pre_hook(begin),
        block.module.register_forward_pre_hook(enter),
        block.module.register_forward_hook(leave, always_call=before is not None),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tokens(output: Any) -> Tensor:
    """Return the tokens in what a block returns: a tensor, or a sequence that begins with it."""
    tokens: Tensor = output if isinstance(output, Tensor) else output[0]
    return tokens


def _with_tokens(output: Any, tokens: Tensor) -> Any:
    return tokens if isinstance(output, Tensor) else (tokens, *output[1:])
