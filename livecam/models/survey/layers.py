"""The layers of a model that can be explained, and the choice of layers by default or by name."""

from __future__ import annotations

import difflib
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

from torch import nn

from livecam.errors import ModelError, ModelOptionError
from livecam.models.survey.attention import Attention, TargetAttention
from livecam.models.survey.grid import Grid
from livecam.models.survey.locality import CHECKS, Check
from livecam.models.survey.streams import Streams

log = logging.getLogger(__name__)

LayerChoice = str | int | Sequence[str | int] | None
"""Layers by name or number, several as a sequence or a comma-separated string; None for the automatic choice."""


DOUBT = "does not respond where the picture changes"
"""The note on a layer that has the shape of a grid, but not the responses of one."""
CROP = "sees only a part of the picture"
"""The obstacle of a layer that comes after a crop inside of the model."""
UNREACHED = "no gradient reaches it"
"""The obstacle of a layer that the scores of a picture do not depend on."""
PADDED = "sees the picture with a wide border added to it"
"""The obstacle of a layer that comes after a padding of the picture."""
WARPED = "sees the picture warped, turned or moved"
"""The obstacle of a layer that comes after a spatial transformer, a roll or a quarter turn of the picture."""
MISPLACED = "does not lie as the picture does"
"""The obstacle of a map that responds elsewhere than where the picture changes."""
NO_EXTENT = "no spatial extent"
"""The obstacle of what is no map, nor tokens whose places were found."""
VIEWS = "sees several views of the picture in one batch"
"""The obstacle of a layer whose batch is larger than the model's own."""
_UNPLACED = {CROP: "crops", PADDED: "padding", WARPED: "warps and turns", VIEWS: "views"}


@dataclass(frozen=True)
class Layer:
    """A call of a module of the model, as observed while the model ran.

    Attributes:
        name: Its dotted name in the model.
        type: The name of its class.
        shape: The shape of its output.
        grid: The grid of its output, None if it cannot be explained.
        obstacle: The reason why it cannot be explained; empty if it can.
        check: The result of the check that proves its grid: "passed" if it responds where the picture changes.
        agreement: The correlation of its responses with those expected on its grid, -1 to 1; None without a grid.
        in_attention: True if it is part of an attention module.
        holds_scores: True if its channels are the model's scores.
        is_balanced: True if its gradient has a mean of 0 over the cells of each channel, as before a normalisation.
        call: The call of it that is observed, counted from 0.
        calls: How often the model runs it for a picture.
        number: Its place among all calls in the order of execution.
        is_aside: True if it is a side branch: evidence goes past it, from a layer before on the same grid.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid | None
    obstacle: str = ""
    check: Check = "failed"
    agreement: float | None = None
    in_attention: bool = False
    holds_scores: bool = False
    is_balanced: bool = False
    call: int = 0
    calls: int = 1
    number: int = 0
    is_aside: bool = False

    @property
    def is_proven(self) -> bool:
        """True if its grid is proven."""
        return self.grid is not None and self.check == "passed"

    @property
    def is_eligible(self) -> bool:
        """True if it can be chosen by default: a map of features outside of attention modules.

        Tokens and all that has time cells have to pass the check, since their shape leaves open how they lie. A map
        by its shape, (B, C, h, w) or (B, h, w, C), may also be unclear. A single channel that is no score is a gate.
        """
        if self.grid is None or self.in_attention or self.is_aside:
            return False
        is_gate = self.shape[self.grid.channel_axis] == 1 and not self.holds_scores
        return not is_gate and (self.is_proven or not (self.grid.spans or self.grid.times > 1))

    @property
    def has_lost_places(self) -> bool:
        """True if it may be features of places, but which places is unknown."""
        if self.grid is not None:
            return self.check == "failed"
        return not self.in_attention and self.obstacle in (NO_EXTENT, MISPLACED)

    @property
    def cells(self) -> int:
        """The number of cells of its grid; 0 without one."""
        return self.grid.height * self.grid.width if self.grid else 0

    @property
    def size(self) -> str:
        """The shape as text: 1x512x7x7."""
        return "x".join(map(str, self.shape))

    @property
    def label(self) -> str:
        """The name and, of several calls, which."""
        return self.name if self.calls == 1 else f"{self.name} (call {self.call + 1} of {self.calls})"


@dataclass(frozen=True)
class TargetLayer:
    """A call of a layer to explain.

    Attributes:
        name: The name to show.
        module: The layer.
        grid: The grid of its output.
        call: The call, counted from 0 in each run of the model.
        attention: Its place among the blocks, if its attention is explained and not its output.
    """

    name: str
    module: nn.Module
    grid: Grid
    call: int = 0
    attention: TargetAttention | None = None


@dataclass(frozen=True)
class Survey:
    """The layers of a model.

    Attributes:
        calls: All calls of its modules that return a tensor which depends on the picture, in the order of execution.
        streams: The order in which they are computed from one another.
        attention: The blocks in which its tokens attend to one another.
        is_cut: True if the scores have no gradient, so that only methods which need none can explain the layers.
        is_passed: True if a part of the evidence goes past every layer that could be chosen.
        bottleneck: The number of the call that is explained by default; None for the last ones.
        usual: The name of the layer that is explained by default instead; all of its calls are known to be maps that
            run in parallel.
    """

    calls: tuple[Layer, ...]
    streams: Streams
    attention: Attention = Attention()
    is_cut: bool = False
    is_passed: bool = False
    bottleneck: int | None = None
    usual: str | None = None
    _told: set[str] = field(default_factory=set, repr=False, compare=False)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once, at its last call that can be explained, in the order of these calls."""
        last = {layer.name: layer for layer in sorted(self.calls, key=_rank)}
        return tuple(layer for layer in self.calls if last[layer.name] is layer)

    @property
    def usable(self) -> list[Layer]:
        """The layers that can be explained; `--layer` counts them from 0, or backwards from -1.

        Those that fail the check are among them only if there are no others.
        """
        return _usable(self.layers)

    @property
    def automatic(self) -> list[Layer]:
        """The layers that are explained by default, one of each parallel stream. Raises ModelError if there are none.

        They are the last ones that are eligible, which means among others that they are not part of an attention
        module. (In the last block of a ViT that is the normalisation before the attention: after it, only the class
        token reaches the head.) In a model that segments, it is the bottleneck. A model may also have a `usual` one.
        """
        if self.usual:
            return [call for call in self.calls if call.name == self.usual and call.grid]
        if not self.usable:
            raise ModelError(self._why_none_is_usable)
        if self.bottleneck is not None:
            return [self.calls[self.bottleneck]]
        return self._ends(self._eligible or _usable(self.calls))

    @property
    def automatic_features(self) -> list[Layer]:
        """The default layers for methods that interpret features: none whose channels are the model's scores."""
        has_choice = self.bottleneck is None and self.usual is None
        return (has_choice and self._ends(self._eligible_features)) or self.automatic

    @property
    def _eligible(self) -> list[Layer]:
        return [call for call in _usable(self.calls) if call.is_eligible]

    @property
    def _eligible_features(self) -> list[Layer]:
        return [call for call in self._eligible if not call.holds_scores]

    def without_side_branches(self, aside: Callable[[list[int]], tuple[set[int], bool]]) -> Survey:
        """Return the survey with the side branches marked that `aside` finds among the eligible calls' numbers."""
        eligible, features = ([call.number for call in calls] for calls in (self._eligible, self._eligible_features))
        found, is_passed = aside(eligible)
        of_features, _ = aside(features) if features != eligible else (found, is_passed)
        calls = (replace(call, is_aside=call.number in found | of_features) for call in self.calls)
        return replace(self, calls=tuple(calls), is_passed=is_passed)

    def with_bottleneck(self, is_passed: Callable[[int], bool] | None) -> Survey:
        """Return the survey with the bottleneck as the layer that is explained by default.

        That is the layer with the most channels, of several the one with the fewest cells, and of these the last. The
        inside of a block, which may have more channels, does not count: the evidence goes past it on the same grid.

        Args:
            is_passed: Returns True if evidence goes past the call with this number on its own grid; None if unknown.
        """
        channels = {call.number: call.shape[call.grid.channel_axis] for call in self._eligible_features if call.grid}
        for most in sorted({*channels.values()}, reverse=True):
            widest = [self.calls[number] for number, count in channels.items() if count == most]
            narrowest = min(widest, key=lambda call: (call.cells, -call.number))
            if is_passed is None or not is_passed(narrowest.number):
                return replace(self, bottleneck=narrowest.number)
        return self

    @property
    def is_settled(self) -> bool:
        """True if the default layers pass the check, and the gradient reaches every stream beside them.

        Which streams it reaches may depend on the picture, as with a maximum over views or a choice among experts.
        """
        if not self.usable or not all(call.is_proven for call in self.automatic):
            return False
        numbers = [call.number for call in self.automatic]
        unreached = [call.number for call in self.calls if call.obstacle == UNREACHED and call.check == "passed"]
        return not any(self.streams.are_apart(number, numbers) for number in unreached)

    def explained_calls(self, layer: Layer) -> list[Layer]:
        """Return the calls of a layer that are explained: the last one and those that run in parallel to it."""
        return self._ends(_usable(call for call in self.calls if call.name == layer.name)) or [layer]

    def find(
        self,
        model: nn.Module,
        wanted: LayerChoice,
        *,
        features_only: bool,
        averages_gradient: bool = False,
    ) -> list[list[TargetLayer]]:
        """Find the layers to explain, each as its calls, or those of parallel streams, whose maps add up.

        Args:
            model: The model of this survey.
            wanted: Names or numbers, as a sequence or separated by commas; None for the default layer.
            features_only: Choose `automatic_features` instead of `automatic` by default.
            averages_gradient: The layers are explained by the mean of their gradient; it is told where that is 0.

        Raises:
            ModelError: A layer does not exist or cannot be explained.
        """
        if wanted is None and self.usual:
            return [self._find_usual(model, self.usual)]
        if wanted is None:
            found = [self.automatic_features if features_only else self.automatic]
        else:
            found = [self.explained_calls(self._find_one(model, name)) for name in names_in(wanted)]
        for calls in found:
            self._tell(calls, is_automatic=wanted is None)
            if averages_gradient:
                self._tell_no_average(calls)
        return [
            [
                TargetLayer(name, model.get_submodule(call.name), call.grid, call.call)
                for call, name in zip(calls, names_of(calls), strict=True)
                if call.grid
            ]
            for calls in found
        ]

    def _find_usual(self, model: nn.Module, name: str) -> list[TargetLayer]:
        self._find_one(model, name)
        if any(call.name == name and call.grid is None for call in self.calls):
            self._tell_once(f"one call of {name} has a single cell, so what is found by it alone has no heat")
        module = model.get_submodule(name)
        return [TargetLayer(name, module, call.grid, call.call) for call in self.automatic if call.grid]

    def _tell(self, explained: Sequence[Layer], *, is_automatic: bool) -> None:
        """Tell what is not as expected of calls that are explained together, and what is left out beside them."""
        names = names_of(explained)
        for call, name in zip(explained, names, strict=True):
            if not call.is_proven:
                self._tell_once(f"layer {name} {DOUBT}, so its map may show other places")
        if len(explained) > 1:
            self._tell_once(f"{' and '.join(names)} run in parallel, so their maps are added")
        if is_automatic and self.is_passed:
            self._tell_once(f"a part of the evidence goes past {' and '.join(names)}, so the map lacks it")
        if is_automatic and self._is_far_from_the_output(explained[-1]):
            self._tell_once(
                f"no grid was found in the layers behind {names[-1]}, so a layer far from the output is explained; "
                "`livecam layers` lists them"
            )
        left_out = [call for call in self._left_out(explained) if is_automatic or call.name == explained[0].name]
        for reason, calls in groupby(left_out, lambda call: call.obstacle or DOUBT):
            self._tell_once(f"left out, as it {reason}: {', '.join(call.label for call in calls)}")

    def _tell_no_average(self, explained: Sequence[Layer]) -> None:
        if all(call.is_balanced for call in explained):
            self._tell_once(
                f"the gradient at layer {' and '.join(names_of(explained))} has a mean of 0 in each channel, as before "
                "a normalisation, so this map is rounding noise; --method hirescam and layercam do without the mean"
            )

    def _is_far_from_the_output(self, explained: Layer) -> bool:
        """Return True if several later layers have as many numbers, but no known places: what pools has fewer."""
        behind = [call for call in self.calls if self.streams.sources(call.number) >> explained.number & 1]
        numbers = math.prod(explained.shape)
        return sum(call.has_lost_places and math.prod(call.shape) >= numbers for call in behind) > 1

    def _tell_once(self, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            log.warning("%s", note)

    def _left_out(self, explained: Sequence[Layer]) -> list[Layer]:
        """Return the ends of streams that cannot be placed on the picture, or fail the check."""
        numbers = [call.number for call in explained]
        failed = [call for call in self.calls if call.grid and call.check == "failed"]
        apart = [call for call in failed if self.streams.are_apart(call.number, numbers)]
        return self._ends([*apart, *(call for call in self.calls if call.obstacle in (CROP, PADDED, WARPED))])

    def _ends(self, calls: Sequence[Layer]) -> list[Layer]:
        return [self.calls[number] for number in self.streams.ends(call.number for call in calls)]

    def name_of(self, model: nn.Module, wanted: str) -> str:
        """Return the name of a layer, given that or its number as text. Raises ModelError."""
        if wanted in dict(model.named_modules()) and wanted:
            return wanted
        if re.fullmatch("-?[0-9]+", wanted):
            return self._by_number(int(wanted)).name
        raise ModelOptionError(_unknown_layer(model, wanted))

    def _find_one(self, model: nn.Module, wanted: str) -> Layer:
        name = self.name_of(model, wanted)
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise ModelOptionError(
                f"layer {name} returns no tensor when the model runs; `livecam layers` lists those that do"
            )
        if found.grid is None:
            raise ModelOptionError(
                f"layer {name} cannot be explained: {found.obstacle} ({found.size}); {self._nearest_to(found)}"
            )
        return found

    def _by_number(self, number: int) -> Layer:
        count = len(self.usable)
        if not -count <= number < count:
            raise ModelOptionError(
                f"the model has {count} layers that can be explained, 0 to {count - 1}, not {number}"
            )
        return self.usable[number]

    @property
    def _why_none_is_usable(self) -> str:
        if unplaced := [layer for layer in self.layers if layer.obstacle in _UNPLACED]:
            return (
                f"layer {unplaced[-1].name} {unplaced[-1].obstacle}, so its map has no place on the picture; "
                f"explain the network without its {_UNPLACED[unplaced[-1].obstacle]}"
            )
        if any(layer.obstacle == UNREACHED for layer in self.layers):
            return (
                "no gradient of the scores reaches a layer with a spatial extent; let the model end in what can be "
                "differentiated, not in rounded or quantised numbers, and not compare the pictures of a batch"
            )
        if misplaced := [layer for layer in self.layers if layer.obstacle == MISPLACED]:
            return f"layer {misplaced[-1].name} {MISPLACED}, so its map has no place on the picture"
        return "no layer of the model has a spatial extent: it cannot be explained"

    def _nearest_to(self, layer: Layer) -> str:
        if not self.usable:
            return "nor can any other"
        place = self.layers.index(layer)
        nearest = min(self.usable, key=lambda other: abs(self.layers.index(other) - place))
        return f"the nearest that can is {nearest.name}"


def names_in(wanted: str | int | Sequence[str | int]) -> list[str]:
    """Return the names and numbers of a choice of layers, as text. Raises ModelError."""
    names = wanted.split(",") if isinstance(wanted, str) else wanted if isinstance(wanted, Sequence) else [wanted]
    if not all(isinstance(name, str | int) for name in names):
        raise ModelError("a layer is a name or a number, or several of these")
    if not names:
        raise ModelOptionError("the layer is empty; leave it out for the automatic choice")
    return [str(name).strip() for name in names]


def names_of(calls: Sequence[Layer]) -> list[str]:
    """Return the names to show of calls that are explained together; an only last call has the layer's name."""
    counts = Counter(call.name for call in calls)
    return [call.name if counts[call.name] == 1 and call.call + 1 == call.calls else call.label for call in calls]


def _usable(calls: Iterable[Layer]) -> list[Layer]:
    """Return the calls that have a grid and do not fail the check, or if there are none, all that have a grid."""
    with_grid = [call for call in calls if call.grid is not None]
    return [call for call in with_grid if call.check != "failed"] or with_grid


def best_of(surveys: Sequence[Survey]) -> Survey:
    """Return the best result for each call from surveys of one model that saw different pictures."""
    first = surveys[0]
    others = [{(call.name, call.call): call for call in survey.calls} for survey in surveys[1:]]
    best = (
        max([call, *(other.get((call.name, call.call), call) for other in others)], key=_rank) for call in first.calls
    )
    return replace(first, calls=tuple(replace(call, number=number) for number, call in enumerate(best)))


def _rank(call: Layer) -> int:
    """Return how well a call can be explained."""
    return 0 if call.grid is None else 1 + CHECKS.index(call.check)


def _unknown_layer(model: nn.Module, name: str) -> str:
    names = [candidate for candidate, _ in model.named_modules() if candidate]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = (
        f"did you mean {', '.join(near)}?" if near else f"the outermost are {', '.join(dict(model.named_children()))}"
    )
    return f"the model has no layer {name!r}; {hint}"
