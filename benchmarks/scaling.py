"""How speed and memory scale with batch size, image size and network width, for DCGAN.

    python benchmarks/scaling.py --device cpu --out scaling.png

Varies one of the three at a time. Each point runs in a new process, so that its peak memory is independent of the
others. Prints a Markdown table and draws a plot.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

RECIPE = Path(__file__).parents[1] / "recipes/dcgan_cifar10.yaml"
CENTRE = {"batch": 64, "image": 64, "width": 64}
VARIED = {"batch": (16, 32, 64, 128, 256), "image": (32, 64, 96, 128), "width": (32, 64, 96, 128)}
VARIED_QUICKLY = {"batch": (16, 64), "image": (32, 64), "width": (32, 64)}
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


def measure(batch: int, image: int, width: int, device: str, steps: int) -> Point:
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
        "train.steps=1000000",
        "callbacks=[]",
        "dataset={name: noise, count: 2048, side: 32}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = runtime.assemble(runtime.load(RECIPE, overrides), Path(folder) / "run")
        engine = trainer.setup.engine
        training = iter(trainer)
        for _ in range(1 + steps // 4):
            next(training)
        engine.synchronize()
        began = time.perf_counter()
        for _ in range(steps):
            next(training)
        engine.synchronize()
        rate = batch * steps / (time.perf_counter() - began)
        training.close()  # type: ignore[attr-defined]
    return Point(batch, image, width, round(rate, 1), round(peak_memory(engine.device) / 2**20), engine.precision)


def measure_in_new_process(settings: dict[str, int], device: str, steps: int) -> Point:
    """Measure in a new process."""
    words = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, __file__, "--point", *words, f"--device={device}", f"--steps={steps}"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Point(*json.loads(answer.splitlines()[-1]))


def table(points: dict[str, list[Point]], device: str) -> str:
    memory = "peak on the device" if device.startswith("cuda") else "peak of the process"
    lines = [f"| batch | image | width | images/s | {memory} (MiB) |", "|---:|---:|---:|---:|---:|"]
    for varied, column in points.items():
        for point in column:
            cells = {name: str(getattr(point, name)) for name in CENTRE}
            cells[varied] = f"**{cells[varied]}**"
            lines.append(f"| {' | '.join(cells.values())} | {point.images_per_second:,} | {point.mebibytes:,.0f} |")
    return "\n".join(lines)


def draw(points: dict[str, list[Point]], device: str, path: Path) -> None:
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
        for axes, values, color, form in (
            (speed, [point.images_per_second for point in column], BLUE, "{:,.0f}"),
            (held, [point.mebibytes / 1024 for point in column], ORANGE, "{:.1f}"),
        ):
            axes.plot(x, values, color=color, marker="o", markersize=5, linewidth=1.8, clip_on=False)
            for place, value in zip(x, values, strict=True):
                axes.annotate(
                    form.format(value),
                    (place, value),
                    textcoords="offset points",
                    xytext=(0, 8),
                    ha="center",
                    fontsize=8,
                    color=INK,
                    path_effects=[withStroke(linewidth=3, foreground="white")],
                )
            axes.axvline(CENTRE[varied], color=PALE, linewidth=6, zorder=0)
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
    centre = ", ".join(f"{name} {value}" for name, value in CENTRE.items())
    figure.suptitle(
        f"DCGAN on {device} in {precision}: one setting varied at a time around {centre} (grey)",
        x=0.01,
        ha="left",
        fontsize=11,
        color=INK,
    )
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--steps", type=int, default=20, help="measured steps per point (default: 20)")
    parser.add_argument("--quick", action="store_true", help="only test that the script runs: few points and steps")
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="the plot (default: scaling.png)")
    parser.add_argument("--point", action="store_true", help=argparse.SUPPRESS)
    for name, value in CENTRE.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        print(json.dumps(measure(given.batch, given.image, given.width, given.device, given.steps)))
        return
    steps = 2 if given.quick else given.steps
    known: dict[tuple[int, ...], Point] = {}
    points: dict[str, list[Point]] = {}
    for varied, values in (VARIED_QUICKLY if given.quick else VARIED).items():
        points[varied] = []
        for value in values:
            settings = {**CENTRE, varied: value}
            key = tuple(settings.values())
            if key not in known:
                known[key] = measure_in_new_process(settings, given.device, steps)
                print(f"{settings}: {known[key].images_per_second:,} images/s", file=sys.stderr, flush=True)
            points[varied].append(known[key])
    print(table(points, given.device))
    draw(points, given.device, given.out)
    print(f"\n{given.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
