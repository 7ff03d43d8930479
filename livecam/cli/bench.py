"""`livecam bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click import Option

from livecam.cli.errors import ends_well
from livecam.cli.loading import loading
from livecam.cli.options import BATCH, FILE, MODEL_SECTIONS, SPEED, Command, Seconds, Section, Size, explainer_arguments
from livecam.cli.terminal import inform, print_table, print_text
from livecam.system.files import check_writable
from livecam.text import printable

PERCENTILES = ("p50", "p90", "p99")
STAGES = ("capture", "explain", "render", "write")


MEASUREMENT = Section(
    "Measurement",
    (
        Option(
            ["--size"],
            type=Size(),
            default="1280x720",
            metavar="WIDTHxHEIGHT",
            help="The size of the generated scene that is run end to end.",
        ),
        Option(
            ["--seconds"],
            type=Seconds(min=0.1, max=600),
            default=4.0,
            metavar="SECONDS",
            help="The length of that scene, at 30 frames per second.",
        ),
        Option(
            ["--rounds"],
            type=click.IntRange(min=1),
            default=20,
            metavar="N",
            help="How often each prediction and explanation is timed.",
        ),
        Option(
            ["--json", "results"],
            type=FILE,
            metavar="FILE.json",
            help="Write all figures; replaces an existing file.",
        ),
    ),
)


@click.command(
    "bench",
    cls=Command,
    sections=[*MODEL_SECTIONS, Section(SPEED.title, (*SPEED.options, BATCH)), MEASUREMENT],
)
@ends_well
def bench_command(
    batch: int | None, size: tuple[int, int], rounds: int, seconds: float, results: str | None, **options: Any
) -> None:
    """Measure how fast this machine explains.

    First prediction and explanation are timed, with each engine and precision that makes sense here (--engine and
    --precision choose one), one picture at a time and in batches. Then the fastest of them explains a file from end to
    end, and a stream of 30 and 60 frames per second that does not wait. This takes a minute or two.
    """
    model = explainer_arguments(options)
    if results is not None:
        check_writable(Path(results))
    with loading(model["model"]):
        from livecam.bench import bench
        from livecam.bench.timing import write_json
        from livecam.explain.device import find_device, usual_batch
        from livecam.explain.explainer import Explainer
        from livecam.system.machine import machine, machine_line

    narrowing = {name: model.pop(name) for name in ("engine", "precision")}
    device = find_device(model["device"], model["model"])
    figures = bench(
        lambda variant: Explainer(**model, **variant._asdict()),
        device,
        **narrowing,
        batch=batch or usual_batch(device),
        size="x".join(map(str, size)),
        rounds=rounds,
        seconds=seconds,
        on_step=lambda step: inform(f"livecam: {step}"),
    )
    print_text(machine_line(machine()))
    print_text(printable("{model}, {input}, {method} at {layer}".format(**figures)) + "\n")
    _print_overhead(figures)
    _print_runs(figures["end_to_end"])
    _print_loops(figures["open_loop"])
    if results is not None:
        write_json(Path(results), figures)


def _print_overhead(figures: dict[str, Any]) -> None:
    print_text(f"Milliseconds per batch, {figures['timed']}:\n")
    headings = ["ENGINE", "PRECISION", "BATCH", "PREDICTION p50", "p90", "p99", "EXPLANATION p50", "p90", "p99"]
    rows = [
        [
            *(row["engine"], row["precision"], str(row["batch"])),
            *_milliseconds(row["prediction_ms"]),
            *_milliseconds(row["explanation_ms"]),
            *(f"{row['ratio']:.2f}", f"{row['cosine']:.5f}"),
        ]
        for row in figures["overhead"]
    ]
    print_table([[*headings, "RATIO", "COSINE"], *rows], numbers=range(2, 11))
    print_text("\nRATIO: explanation to prediction, medians. COSINE: of the map that differs most from eager fp32.\n")


def _print_runs(runs: dict[str, Any]) -> None:
    print_text(f"A {runs['size']} file end to end, {_how(runs)}, batches of {runs['batch']}; ms per frame, p50:\n")
    rows = [
        [
            run["output"],
            *(str(run["written"]), f"{run['fps']:.1f}"),
            *(f"{run['stages_ms'][stage]['p50']:.1f}" for stage in STAGES),
        ]
        for run in runs["runs"]
    ]
    print_table([["OUTPUT", "FRAMES", "FPS", *map(str.upper, STAGES)], *rows], numbers=range(1, 7))


def _print_loops(loops: dict[str, Any]) -> None:
    print_text(f"\nFrames of {loops['size']} that arrive on their own schedule, by {_how(loops)};")
    print_text("milliseconds from captured to shown, as livecam live does it without a window:\n")
    rows = [
        [
            f"{run['arrivals_fps']} a second",
            *_milliseconds(run["latency_ms"]),
            *(str(run["shown"]), str(run["dropped"])),
        ]
        for run in loops["runs"]
    ]
    print_table([["ARRIVALS", *PERCENTILES, "SHOWN", "DROPPED"], *rows], numbers=range(1, 6))


def _how(runs: dict[str, Any]) -> str:
    return f"{runs['engine']} {runs['precision']}"


def _milliseconds(times: dict[str, float]) -> list[str]:
    return [f"{times[name]:.1f}" for name in PERCENTILES]
