"""The blocks of a transformer, in which its tokens attend to one another, and the tokens that its scores come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

Frame = tuple[str, int]
"""The dotted name of a module, and its call, counted from 0."""


@dataclass(frozen=True)
class AttentionCall:
    """A computation of attention for one picture.

    Attributes:
        within: The calls of modules that it is part of, the outermost first, without the model itself.
        shape: The shape of its weights: (B, heads, queries, keys).
    """

    within: tuple[Frame, ...]
    shape: tuple[int, ...]


class Reached(NamedTuple):
    """The output of a layer: the layer's name, the shape, and the gradient of the scores, if one reaches it."""

    name: str
    shape: tuple[int, ...]
    gradient: Tensor | None


@dataclass(frozen=True)
class Block:
    """A call of a module in which attention is computed once.

    Attributes:
        name: The module's dotted name in the model.
        call: The call of it, counted from 0.
        shape: The shape of its weights for one picture: (1, heads, queries, keys).
    """

    name: str
    call: int
    shape: tuple[int, ...]

    @property
    def is_square(self) -> bool:
        """True if every token attends to every token."""
        return self.shape[2] == self.shape[3]

    def has_part_in(self, reached: Sequence[str]) -> bool:
        """Return True if the scores depend on it, given the names of the layers that a gradient of them reaches."""
        return any(f"{name}.".startswith(f"{self.name}.") for name in reached)


@dataclass(frozen=True)
class Attention:
    """The attention of a model.

    Attributes:
        blocks: The blocks in which all tokens attend to all, in the order of execution.
        pool: The block behind them whose queries gather the tokens for the scores, None if there is none.
        readers: The tokens behind the last block that the scores come from: the class token, or those of the picture.
        obstacle: The reason why there are no blocks; empty if there are.
    """

    blocks: tuple[Block, ...] = ()
    pool: Block | None = None
    readers: tuple[int, ...] = ()
    obstacle: str = "has no attention between tokens, as vision transformers have"

    @property
    def tokens(self) -> int:
        """The number of tokens, 0 if there are no blocks."""
        return self.blocks[0].shape[3] if self.blocks else 0


@dataclass(frozen=True)
class TargetBlock:
    """A block to tap: a call of a module, counted from 0, and the shape of its weights, (1, heads, queries, keys)."""

    name: str
    module: nn.Module
    call: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TargetAttention:
    """A block to explain: its number, all blocks, and what is behind the last one, as in `Attention`."""

    number: int
    blocks: tuple[TargetBlock, ...]
    pool: TargetBlock | None
    readers: tuple[int, ...]


def attention_of(calls: Sequence[AttentionCall], outputs: Sequence[Reached]) -> Attention:
    """Return the attention of a model.

    Args:
        calls: Its computations of attention for one picture.
        outputs: The outputs of its layers, in the order of execution.
    """
    blocks = _blocks(calls)
    if len(blocks) < len(calls):
        return Attention(obstacle="computes attention several times in one block, or outside of any")
    reached = [output.name for output in outputs if output.gradient is not None]
    blocks = [block for block in blocks if block.has_part_in(reached)]
    if not any(block.is_square for block in blocks):
        return Attention()
    *_, last = (place for place, block in enumerate(blocks) if block.is_square)
    among, behind = blocks[: last + 1], blocks[last + 1 :]
    tokens = blocks[last].shape[3]
    if {block.shape[0] for block in blocks} != {1} or {block.shape[2:] for block in among} != {(tokens, tokens)}:
        return Attention(
            obstacle="attends within windows, within frames or on grids of several sizes, not between all tokens"
        )
    if [block.shape[3] for block in behind] not in ([], [tokens]):
        return Attention(obstacle="gathers its tokens by several steps of attention, or together with others")
    readers = _readers(tokens, outputs)
    if not readers:
        return Attention(obstacle="does not show by a gradient which tokens its scores come from")
    return Attention(tuple(among), behind[0] if behind else None, readers, obstacle="")


def _blocks(calls: Sequence[AttentionCall]) -> list[Block]:
    """Return for each call, if there is one, the outermost module that holds no other."""
    counts = Counter(frame for call in calls for frame in call.within)
    outermost = (next(((call, *frame) for frame in call.within if counts[frame] == 1), None) for call in calls)
    return [Block(name, number, call.shape) for call, name, number in filter(None, outermost)]


def _readers(tokens: int, outputs: Sequence[Reached]) -> tuple[int, ...]:
    """Return those of the tokens of the last layer of tokens from which a gradient of the scores comes."""
    for output in reversed(outputs):
        if output.gradient is not None and len(output.shape) == 3 and {1, tokens} <= set(output.shape[:2]):
            of_tokens = output.gradient.reshape(tokens, -1).abs().sum(dim=1)
            return tuple(of_tokens.nonzero()[:, 0].tolist())
    return ()
