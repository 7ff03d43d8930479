"""The choice of the blocks of a transformer whose attention is explained, by default or by name."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from livecam.errors import ModelError
from livecam.models.survey.attention import Block, TargetAttention, TargetBlock
from livecam.models.survey.grid import Grid
from livecam.models.survey.layers import LayerChoice, Survey, TargetLayer, names_in


def find_blocks(survey: Survey, model: nn.Module, wanted: LayerChoice, *, last: int) -> list[TargetLayer]:
    """Find the blocks to explain, in the order of execution.

    Args:
        survey: The survey of the model.
        model: The model.
        wanted: Names of blocks, of layers in them or of parts of the model that end in them, or numbers of layers, as
            a sequence or separated by commas; None for the default.
        last: By default, explain so many of the last blocks.

    Raises:
        ModelError: There are no such blocks, or the places of their tokens are unknown.
    """
    attention, grid = survey.attention, _grid(survey)
    if problem := obstacle(survey):
        raise ModelError(f"the model {problem}; take a method that explains layers, such as gradcam")
    assert grid is not None
    count = len(attention.blocks)
    if wanted is None:
        numbers = list(range(max(count - last, 0), count))
    else:
        numbers = sorted({_number(attention.blocks, survey.name_of(model, name)) for name in names_in(wanted)})
    targets = tuple(_target(model, block) for block in attention.blocks)
    pool = _target(model, attention.pool) if attention.pool else None
    return [
        TargetLayer(each.name, each.module, grid, each.call, TargetAttention(number, targets, pool, attention.readers))
        for number in numbers
        for each in [targets[number]]
    ]


def obstacle(survey: Survey) -> str:
    """Return the reason why no block of a model can be explained by its attention; empty if all can."""
    if survey.attention.obstacle or _grid(survey):
        return survey.attention.obstacle
    return f"does not show where on the picture its {survey.attention.tokens} tokens are"


def _number(blocks: Sequence[Block], name: str) -> int:
    """Return the number of the last block that a layer is in, or that is in a part of the model."""
    for number in reversed(range(len(blocks))):
        block = blocks[number].name
        if f"{name}.".startswith(f"{block}.") or block.startswith(f"{name}."):
            return number
    raise ModelError(f"layer {name} is in no block whose tokens attend to one another; the last is {blocks[-1].name}")


def _grid(survey: Survey) -> Grid | None:
    """Return the grid that the tokens have in the layers of the model, the one proven best."""
    tokens = survey.attention.tokens
    found = [call for call in survey.usable if call.grid and call.grid.spans and tokens in call.shape[:2]]
    return max(found, key=lambda call: call.is_proven).grid if found else None


def _target(model: nn.Module, block: Block) -> TargetBlock:
    return TargetBlock(block.name, model.get_submodule(block.name), block.call, block.shape)
