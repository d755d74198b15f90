"""How speed and memory grow with batch size, image size and network width, for DCGAN or StyleGAN2.

    python benchmarks/scaling.py --device cpu --out scaling.png
    python benchmarks/scaling.py --model stylegan2 --device cpu --out scaling_stylegan2.png

Varies one of the three at a time. Each point runs in a new process, so that its peak memory is independent of the
others. Prints a Markdown table with the exponents of growth and draws a plot.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

RECIPES = Path(__file__).parents[1] / "recipes"


class Model(NamedTuple):
    """What is measured for one model.

    Attributes:
        title: its name in the plot.
        recipe: the recipe file.
        centre: batch size, image size and width of all points, except for the varied one.
        varied: the values of each.
        steps: measured steps per point; a multiple of the intervals of lazy penalties.
    """

    title: str
    recipe: str
    centre: dict[str, int]
    varied: dict[str, tuple[int, ...]]
    steps: int


MODELS = {
    "dcgan": Model(
        "DCGAN",
        "dcgan_cifar10.yaml",
        {"batch": 64, "image": 64, "width": 64},
        {"batch": (16, 32, 64, 128, 256), "image": (32, 64, 96, 128), "width": (32, 64, 96, 128)},
        steps=20,
    ),
    "stylegan2": Model(
        "StyleGAN2 with R1 and path length regularization",
        "stylegan2_image_folder.yaml",
        {"batch": 8, "image": 128, "width": 64},
        {"batch": (4, 8, 16), "image": (64, 128, 256), "width": (32, 64, 128)},
        steps=16,
    ),
}
LABELS = {"batch": "batch size (images)", "image": "image size (pixels per side)", "width": "width (channels)"}
BLUE, ORANGE, INK, PALE = "#0072B2", "#D55E00", "#333333", "#dddddd"


class Point(NamedTuple):
    """One measurement."""

    batch: int
    image: int
    width: int
    images_per_second: float
    mebibytes: float
    precision: str


def measure(model: Model, batch: int, image: int, width: int, device: str, steps: int) -> Point:
    """Measure in this process, which must be new. The dataset is small, so the memory is that of training."""
    import noise_dataset

    import gankit
    from gankit.device.memory import peak_memory

    runtime = gankit.Runtime(plugins=[noise_dataset])
    overrides = [
        f"loader.batch_size={batch}",
        f"image.size={image}",
        f"generator.width={width}",
        f"discriminator.width={width}",
        f"train.device={device}",
        "train={images: null, epochs: null, steps: 1000000}",
        "callbacks=[]",
        "dataset={name: noise, count: 2048, side: 32}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = runtime.assemble(runtime.load(RECIPES / model.recipe, overrides), Path(folder) / "run")
        engine = trainer.setup.engine
        training = iter(trainer)
        for _ in range(2):  # the first one includes all lazy penalties
            next(training)
        engine.synchronize()
        began = time.perf_counter()
        for _ in range(steps):
            next(training)
        engine.synchronize()
        rate = batch * steps / (time.perf_counter() - began)
        training.close()  # type: ignore[attr-defined]
    return Point(batch, image, width, round(rate, 1), round(peak_memory(engine.device) / 2**20), engine.precision)


def measure_in_new_process(model: str, settings: dict[str, int], device: str, steps: int) -> Point:
    """Measure in a new process."""
    options = {"model": model, **settings, "device": device, "steps": steps}
    command = [sys.executable, __file__, "--point", *(f"--{name}={value}" for name, value in options.items())]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Point(*json.loads(answer.splitlines()[-1]))


def exponent(points: list[Point], varied: str, cost: Callable[[Point], float]) -> float:
    """The slope of log(cost) against log(setting), by least squares: cost grows with setting ** exponent."""
    settings = [math.log(getattr(point, varied)) for point in points]
    return statistics.linear_regression(settings, [math.log(cost(point)) for point in points]).slope


def growth(points: dict[str, list[Point]]) -> str:
    """A table of the exponents of a step's time and of the peak memory."""
    lines = ["| varied | exponent of a step's time | exponent of the peak memory |", "|---|---:|---:|"]
    for varied, column in points.items():
        time_of_step = exponent(column, varied, lambda point: point.batch / point.images_per_second)
        memory = exponent(column, varied, lambda point: point.mebibytes)
        lines.append(f"| {LABELS[varied]} | {time_of_step:.2f} | {memory:.2f} |")
    return "\n".join(lines)


def table(points: dict[str, list[Point]], device: str) -> str:
    memory = "peak on the device" if device.startswith("cuda") else "peak of the process"
    lines = [f"| batch | image | width | images/s | {memory} (MiB) |", "|---:|---:|---:|---:|---:|"]
    for varied, column in points.items():
        for point in column:
            cells = {name: str(getattr(point, name)) for name in LABELS}
            cells[varied] = f"**{cells[varied]}**"
            lines.append(f"| {' | '.join(cells.values())} | {point.images_per_second:,} | {point.mebibytes:,.0f} |")
    return "\n".join(lines)


def draw(model: Model, points: dict[str, list[Point]], device: str, path: Path) -> None:
    """Draw speed (top) and memory (bottom), with one column per varied setting."""
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    memory = "peak memory (GiB)" if device.startswith("cuda") else "peak memory of the process (GiB)"
    figure = Figure(figsize=(11, 6), dpi=150, layout="constrained", facecolor="white")
    rows = figure.subplots(2, len(points), sharey="row", sharex="col")
    for index, (varied, column) in enumerate(points.items()):
        x = [getattr(point, varied) for point in column]
        speed, held = rows[0][index], rows[1][index]
        for axes, values, color in (
            (speed, [point.images_per_second for point in column], BLUE),
            (held, [point.mebibytes / 1024 for point in column], ORANGE),
        ):
            axes.plot(x, values, color=color, marker="o", markersize=5, linewidth=1.8, clip_on=False)
            for place, value in zip(x, values, strict=True):
                axes.annotate(
                    f"{value:,.1f}" if value < 20 else f"{value:,.0f}",
                    (place, value),
                    textcoords="offset points",
                    xytext=(0, 8),
                    ha="center",
                    fontsize=8,
                    color=INK,
                    path_effects=[withStroke(linewidth=3, foreground="white")],
                )
            axes.axvline(model.centre[varied], color=PALE, linewidth=6, zorder=0)
            axes.grid(axis="y", color=PALE, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(PALE)
            axes.tick_params(colors=INK, length=0)
            axes.margins(x=0.12)
        held.set_xscale("log", base=2)
        held.xaxis.set_major_locator(FixedLocator(x))
        held.xaxis.set_minor_locator(NullLocator())
        held.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        held.set_xlabel(LABELS[varied], color=INK)
    rows[0][0].set_yscale("log", base=2)
    rows[0][0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    rows[0][0].set_ylabel("images/s", color=INK)
    rows[1][0].set_ylabel(memory, color=INK)
    rows[1][0].set_ylim(0, 1.15 * max(point.mebibytes for column in points.values() for point in column) / 1024)
    figure.align_ylabels([row[0] for row in rows])
    precision = next(point.precision for column in points.values() for point in column)
    centre = ", ".join(f"{name} {value}" for name, value in model.centre.items())
    figure.suptitle(
        f"{model.title} on {device} in {precision}: one setting varied at a time around {centre} (grey)",
        x=0.01,
        ha="left",
        fontsize=11,
        color=INK,
    )
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="dcgan", help="what to measure (default: dcgan)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--steps", type=int, help="measured steps per point (default: 20, for stylegan2 16)")
    parser.add_argument("--quick", action="store_true", help="only test that the script runs: few points and steps")
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="the plot (default: scaling.png)")
    parser.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    for name in LABELS:
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    model: Model = MODELS[given.model]
    if given.point:
        print(json.dumps(measure(model, given.batch, given.image, given.width, given.device, given.steps)))
        return
    steps = 2 if given.quick else given.steps or model.steps
    known: dict[tuple[int, ...], Point] = {}
    points: dict[str, list[Point]] = {}
    for varied, values in model.varied.items():
        points[varied] = []
        for value in values[:2] if given.quick else values:
            settings = {**model.centre, varied: value}
            key = tuple(settings.values())
            if key not in known:
                known[key] = measure_in_new_process(given.model, settings, given.device, steps)
                print(f"{settings}: {known[key].images_per_second:,} images/s", file=sys.stderr, flush=True)
            points[varied].append(known[key])
    print(f"{table(points, given.device)}\n\n{growth(points)}")
    draw(model, points, given.device, given.out)
    print(f"\n{given.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
