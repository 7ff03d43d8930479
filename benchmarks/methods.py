"""Are the methods' maps those of the papers, and those of pytorch-grad-cam? `python -m benchmarks.methods --json FILE`.

First against the formulas in float64 (`benchmarks.formulas`), in seven architectures with random weights: the whole way
in float32, from a batch of four inputs to the maps, and the maths alone in float64, on the witness's own activations
and gradients. Then against pytorch-grad-cam (`benchmarks.peers`), where `make bench` brought it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.formulas import FORMULAS
from benchmarks.timing import print_machine, print_table
from benchmarks.witness import ARCHITECTURES, WITNESSED, Witnessed, relative_error, witness
from livecam.bench.timing import write_json
from livecam.system.machine import version

if TYPE_CHECKING:
    from benchmarks.peers import Comparison


def agreement(witnessed: Witnessed) -> dict[str, dict[str, float]]:
    """Return for each method with a formula the relative errors of the full float32 path and of the float64 maths."""
    return {
        method: {
            "float32": relative_error(witnessed.whole_way(method)[:WITNESSED], expected),
            "float64": relative_error(witnessed.maths_alone(method), expected),
        }
        for method, expected in ((method, witnessed.formula(method)) for method in FORMULAS)
    }


def print_agreement(errors: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the errors by architecture and method."""
    print(
        "Largest error relative to the largest value of a map: the whole way in float32 / the maths alone in float64.\n"
    )
    print_table(
        ["", *errors],
        [
            [method, *(f"{of[method]['float32']:.0e} / {of[method]['float64']:.0e}" for of in errors.values())]
            for method in FORMULAS
        ],
    )
    print(
        "\nXGrad-CAM divides by each channel's sum of activations. Where these are signed, the sums cancel out,"
        "\nand with them digits of float32; its maths is as exact as that of the others.\n"
    )


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print how far the two are from each other, then why."""
    found = {(one.method, one.place): one for one in comparisons}
    places = list(dict.fromkeys(one.place for one in comparisons))
    print(f"livecam against pytorch-grad-cam {version('grad-cam')}, both in [0, 1] as it scales: largest difference.\n")
    print_table(
        ["", *places],
        [
            [method, *(f"{found[method, place].between:.0e}" if (method, place) in found else "" for place in places)]
            for method in dict.fromkeys(one.method for one in comparisons)
        ],
    )
    print(
        "\nWhere they differ, each against the formula in float64, and pytorch-grad-cam with the cause allowed for.\n"
    )
    print_table(
        ["", "at", "livecam", "pytorch-grad-cam", "allowing for it", "the cause: in pytorch-grad-cam"],
        [
            [
                *(one.method, one.place, f"{one.livecam:.0e}", f"{one.peer:.0e}", f"{one.left:.0e}"),
                "; ".join(one.causes),
            ]
            for one in comparisons
            if one.peer > one.same
        ],
    )


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES), help="comma-separated, from this list")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="compare with them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    errors: dict[str, dict[str, dict[str, float]]] = {}
    comparisons: list[Comparison] = []
    has_peer = options.peers and find_spec("pytorch_grad_cam") is not None
    for architecture in options.architectures.split(","):
        witnessed = witness(architecture)
        errors[architecture] = agreement(witnessed)
        if has_peer:
            from benchmarks.peers import COMPARED, compare

            if architecture in COMPARED:
                comparisons += [compare(architecture, witnessed, method) for method in FORMULAS]
    print_machine()
    print_agreement(errors)
    if has_peer:
        from benchmarks.peers import FORWARD_PASSES, compare_forward_passes

        comparisons += [compare_forward_passes(method, layer) for method, layer in FORWARD_PASSES]
        print_comparisons(comparisons)
    else:
        print("Not compared with pytorch-grad-cam: it is not there (`make bench` brings it) or not asked for.")
    if options.json:
        write_json(options.json, {"errors": errors, "comparisons": [asdict(one) for one in comparisons]})


if __name__ == "__main__":
    main()
