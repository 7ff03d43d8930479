"""Programs made by `torch.export` and TorchScript: converted to modules with layers inside."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.export import ExportedProgram, export, unflatten
from torch.fx import Graph, GraphModule

from livecam.errors import ModelError, in_one_line, some_of
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.trial import random_input

log = logging.getLogger(__name__)


def is_program(model: object) -> TypeGuard[ExportedProgram | GraphModule]:
    """Return True for an exported program, and for the module that its `module()` returns."""
    return isinstance(model, ExportedProgram) or (isinstance(model, GraphModule) and "validate_inputs" in vars(model))


def classifier_of_program(name: str, program: ExportedProgram | GraphModule) -> Classifier:
    """Return the classifier for an exported program, with the layers of the module that it was exported from.

    Its preprocessing has the size and the channels of the input that it was exported for. Raises ModelError.
    """
    if isinstance(program, GraphModule):
        inputs = [node.name for node in program.graph.nodes if node.op == "placeholder"]
        program = export(program, (torch.zeros(_example(name, program.graph, inputs)),))
    example = _example(name, program.graph, program.graph_signature.user_inputs)
    if _is_training(program.graph):
        log.warning("%s was exported in training mode, so its scores depend on chance; export it after eval()", name)
    _, channels, height, width = example
    preprocessing = Preprocessing(size=(height, width))
    return Classifier(
        name, unflatten(program), preprocessing=preprocessing.in_grey() if channels == 1 else preprocessing
    )


def with_layers(classifier: Classifier) -> Classifier:
    """Return a classifier whose module is not TorchScript, which hides its layers. Raises ModelError."""
    module, preprocessing = classifier.module, classifier.preprocessing
    if not isinstance(module, torch.jit.ScriptModule):
        return classifier
    inputs = random_input(module, preprocessing.input_shape)
    training = module.training
    module.eval()
    try:
        program = _converted(module, inputs)
    except Exception as exc:  # the converter may raise anything for what it does not know
        raise ModelError(
            f"{classifier.name} is TorchScript, which hides its layers, and cannot be converted to a program of "
            f"torch.export ({in_one_line(exc)}); explain the module that it was made from"
        ) from exc
    finally:
        module.train(training)
    return dataclasses.replace(classifier, module=_with_operations(program))


def _converted(module: torch.jit.ScriptModule, inputs: torch.Tensor) -> ExportedProgram:
    """Convert TorchScript for any number of pictures, or for one if it takes no more."""
    from torch._export.converter import TS2EPConverter  # which PyTorch names as the way from TorchScript

    module(inputs)  # a failure of the model itself
    with _quiet("torch._export"):
        try:
            return TS2EPConverter(module, (torch.cat([inputs, inputs]),)).convert()
        except Exception:  # made for one picture
            return TS2EPConverter(module, (inputs,)).convert()


class Operation(nn.Module):
    """An operation of a program as a layer, so that its output can be observed."""

    def __init__(self, operation: Callable[..., Any]) -> None:
        super().__init__()
        self._operation = operation

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the operation returns."""
        return self._operation(*args, **kwargs)


def _with_operations(program: ExportedProgram) -> GraphModule:
    """Return a program as a module that has a layer for each operation."""
    module = program.module(check_guards=False)
    del module.train, module.eval  # those of exported modules raise errors
    for node in module.graph.nodes:
        if node.op == "call_function":
            module.add_module(node.name, Operation(node.target))
            node.op, node.target = "call_module", node.name
    module.recompile()
    return module


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hide warnings, and those of a logger, inside the block."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


def _example(name: str, graph: Graph, inputs: Sequence[object]) -> tuple[int, ...]:
    """Return the shape of the picture that a program was exported for. Raises ModelError if that is not its input."""
    values = {node.name: node.meta.get("val") for node in graph.nodes if node.op == "placeholder"}
    shapes = [tuple(getattr(values[str(each)], "shape", ())) for each in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ModelError(
            f"{name} takes {some_of(inputs)}, and livecam gives it a picture alone; export a module whose "
            "forward(self, picture) takes (B, channels, height, width)"
        )
    return tuple(dim if isinstance(dim, int) else dim.node.hint for dim in shapes[0])


def _is_training(graph: Graph) -> bool:
    """Return True if a program normalises by its batch, or drops activations at random."""
    aten = torch.ops.aten
    return any(
        (node.target is aten.batch_norm.default and node.args[5])
        or (node.target is aten.dropout.default and node.args[2])
        for node in graph.nodes
    )
