"""Parallel streams of a network, found in its autograd graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch.autograd.graph import GradientEdge, Node


class Streams:
    """The order in which the outputs of a network's layers are computed from one another, and which run in parallel.

    Args:
        outputs: The outputs in the order of execution, which numbers them from 0.
    """

    def __init__(self, outputs: Sequence[GradientEdge]) -> None:
        # The sources of each output are the bits of a number, since a large network has a million such pairs.
        self._sources: list[int] = []
        at_nodes: dict[Node, int] = {}
        for number, output in enumerate(outputs):
            self._sources.append(at_nodes.get(output.node, 0) | _sources_before(output.node, at_nodes))
            at_nodes[output.node] = self._sources[number] | 1 << number

    def ends(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the outputs with these numbers that end a stream.

        They are the last output and, of what it is not computed from, the last again, and so on. Without parallel
        streams there is one.
        """
        ends: list[int] = []
        for number in sorted(numbers, reverse=True):
            if self.are_apart(number, ends):
                ends.append(number)
        return ends[::-1]

    def sources(self, number: int) -> int:
        """Return the outputs that an output is computed from, as the bits of a number."""
        return self._sources[number]

    def are_apart(self, number: int, others: Iterable[int]) -> bool:
        """Return True if an output is neither computed from one of the others, nor one of them from it."""
        return not any(number == other or self.leads(number, other) or self.leads(other, number) for other in others)

    def leads(self, number: int, other: int) -> bool:
        """Return True if an output is one of those that another is computed from."""
        return bool(self._sources[other] >> number & 1)


def _sources_before(node: Node, at_nodes: dict[Node, int]) -> int:
    """Return the outputs that a node is computed from, as bits, given those of nodes that come before."""
    sources, seen, waiting = 0, {node}, [node]
    while waiting:
        for source, _ in waiting.pop().next_functions:
            if source is None or source in seen:
                continue
            seen.add(source)
            if source in at_nodes:
                sources |= at_nodes[source]
            else:
                waiting.append(source)
    return sources
