"""Finding the weights of a model among the tensors of a file, by their names and shapes, and loading them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from livecam.errors import ModelError, some_of
from livecam.models.classifier import Classifier
from livecam.models.weights.checkpoints import Key, Tensors

log = logging.getLogger("livecam")

State = dict[str, Tensor]
"""A state dict: the tensors of a module by their names in it."""
Words = tuple[str, ...]
"""A name, or the beginning of one, cut at its dots."""


@dataclass(frozen=True)
class Fit:
    """The tensors of a file that are named like those of a model.

    Attributes:
        tensors: All tensors of the file.
        keys: Those that are meant for the model, by their names in the model.
        prefix: The beginning of their names in the file, which the model does not have.
        rivals: The prefixes of others that fit equally well.
    """

    tensors: Tensors
    keys: dict[str, Key]
    prefix: Words = ()
    rivals: tuple[Words, ...] = ()

    @cached_property
    def state(self) -> State:
        """The tensors for the model by their names in it."""
        return {name: self.tensors[key] for name, key in self.keys.items()}

    @property
    def classes(self) -> int:
        """The number of outputs of the last layer."""
        return next(reversed(self.state.values())).shape[0]

    @cached_property
    def others(self) -> list[Key]:
        """The keys of all other tensors in the file."""
        taken = set(self.keys.values())
        return [key for key in self.tensors if key not in taken]

    @cached_property
    def unexpected(self) -> list[str]:
        """The learnt tensors beside those for the model: they belong to a module that the model does not have.

        What is of another precision than the weights was not learnt: counts, indices, the sums of a profiler.
        """
        precisions = {value.dtype for value in self.state.values() if value.is_floating_point()}
        return [".".join(key) for key in self.others if self._is_beside(key) and self.tensors[key].dtype in precisions]

    @cached_property
    def _containers(self) -> set[Key]:
        return {key[:-1] for key in self.keys.values()}

    def _is_beside(self, key: Key) -> bool:
        """Return True for a key in a container of tensors for the model, and with their prefix."""
        return key[:-1] in self._containers and _words(key)[: len(self.prefix)] == self.prefix

    @property
    def note(self) -> str:
        """Say in one line what was taken and what was not; empty if the file holds these tensors under these names."""
        left_out = [words for words in dict.fromkeys(map(self._shortened, self.others)) if words not in self.rivals]
        parts: list[tuple[str, Sequence[Words]]] = [
            ("took the weights under", [self.prefix] if self.prefix else []),
            ("dropped from their names:", self._between),
            ("others would fit as well:", self.rivals),
            ("left out:", left_out),
        ]
        return "; ".join(f"{start} {some_of(['.'.join(words) for words in what])}" for start, what in parts if what)

    @property
    def _between(self) -> list[Words]:
        """The words that wrappers have put between those of the names."""
        named = {_words(key)[len(self.prefix) :]: name.split(".") for name, key in self.keys.items()}
        return sorted({(word,) for words, name in named.items() for word in words if word not in name})

    def _shortened(self, key: Key) -> Words:
        """Return a key up to the word that differs from the prefix; of one beside the weights, its last word."""
        words = _words(key)
        return words[-1:] if self._is_beside(key) else words[: len(os.path.commonprefix([words, self.prefix])) + 1]


def best_fit(module: nn.Module, tensors: Tensors) -> Fit:
    """Return the tensors of a file that fit a module best.

    In the file, their names may have any prefix, and words between that the module does not use, as wrappers add them.
    Of several sets that fit equally well, an averaged one ("ema") is taken, else the first.
    """
    expected = module.state_dict()
    found = _named_alike(expected, tensors)
    if not found:
        return Fit(tensors, {})
    scores = {
        prefix: sum(expected[name].shape == tensors[key].shape for name, key in keys.items())
        for prefix, keys in found.items()
    }
    best = max(found, key=lambda prefix: (scores[prefix], "ema" in re.split(r"[._]", ".".join(prefix))))
    taken = found[best].items()
    rivals = [prefix for prefix in found if scores[prefix] == scores[best] and not found[prefix].items() & taken]
    return Fit(tensors, found[best], best, tuple(rivals))


def _named_alike(expected: State, tensors: Tensors) -> dict[Words, dict[str, Key]]:
    """Return the keys of all tensors that are named like some of a state dict, by what comes before their names."""
    found: dict[Words, dict[str, Key]] = {}
    for common in dict.fromkeys(("", _common_prefix(expected))):
        names = {name.removeprefix(common): name for name in expected}
        known = {word for name in names for word in name.split(".")}
        for key in tensors:
            words = _words(key)
            for start, word in enumerate(words):
                short = ".".join(word for word in words[start:] if word in known)
                if {word, words[-1]} <= known and short in names:
                    found.setdefault(words[:start], {}).setdefault(names[short], key)
    return found


def _common_prefix(expected: State) -> str:
    """Return what the names of a wrapped module have in common, such as "module."."""
    common = os.path.commonprefix([name.split(".")[:-1] for name in expected])
    return "".join(f"{word}." for word in common)


def _words(key: Key) -> Words:
    return tuple(".".join(key).split("."))


def differing_shape(module: nn.Module, state: State) -> dict[str, int]:
    """Return the `classes` and `channels` with which to build a module so that a state dict fits it.

    Arguments that need no change are left out. The head is recognised by its shape: all tensors whose number of rows
    differs must agree on the new number.
    """
    rows: set[tuple[int, int]] = set()
    shape: dict[str, int] = {}
    for name, value in module.state_dict().items():
        if name not in state or state[name].shape == value.shape:
            continue
        ours, theirs = tuple(value.shape), tuple(state[name].shape)
        if ours[1:] == theirs[1:]:
            rows.add((ours[0], theirs[0]))
        elif len(theirs) == 4 and (ours[0], 3, *ours[2:]) == ours and (ours[0], 1, *ours[2:]) == theirs:
            shape["channels"] = 1
        else:
            return {}  # weights of another model: `load_weights` raises the error
    if len(rows) == 1:
        shape["classes"] = rows.pop()[1]
    return shape


def load_weights(classifier: Classifier, fit: Fit, path: Path) -> None:
    """Load weights that were read from `path` into the module. Raises ModelError unless they fit exactly.

    Counts and indices, which are not learnt, may be missing: the module has its own.
    """
    expected, state = classifier.module.state_dict(), fit.state
    given = {expected[name].data_ptr() for name in state}  # weights with several names may have one in the file
    missing = [
        name
        for name, value in expected.items()
        if name not in state and value.is_floating_point() and value.data_ptr() not in given
    ]
    reshaped = [name for name, value in state.items() if value.shape != expected[name].shape]
    _check_values(state, path)
    fits = len(state) - len(reshaped)
    advice = (
        "give all weights of the model" if missing and fits > len(expected) / 2 else "name their model with --model"
    )
    for problem, names in (("they lack", missing), ("it has no", fit.unexpected), ("the shapes differ for", reshaped)):
        if names:
            raise ModelError(
                f"the weights {path} are not of {classifier.name}: {problem} {some_of(names, 1)} "
                f"({fits} of {len(expected)} tensors fit); {advice}"
            )
    classifier.module.load_state_dict(expected | state)
    if fit.note:
        log.warning("%s: %s", path, fit.note)


def _check_values(state: State, path: Path) -> None:
    for name, value in state.items():
        # Converted to float32 as the model does: larger values become infinite.
        if value.is_floating_point() and not value.float().isfinite().all():
            raise ModelError(
                f"the weights {path} hold NaN or infinity in {name}: the training had diverged; "
                "take an earlier checkpoint"
            )
