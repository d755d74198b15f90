"""``gankit report``: write the page of a run, or of all runs in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import GankitError
from ..runs.file_names import RECIPE, REPORT, checkpoints
from ..search.file_names import is_search
from .console import DeviceOption, PluginOption, make_runtime, output_console, parse_path, print_message
from .task_progress import TaskProgress


def report(
    directory: Annotated[
        Path,
        Argument(
            metavar="RUN_DIR|FOLDER_OF_RUNS", parser=parse_path, help="A run directory, or a folder of run directories."
        ),
    ],
    features: Annotated[
        str, Option(metavar="NAME", help="Feature extractor for finding the real images nearest to each sample.")
    ] = "pixels",
    neighbors: Annotated[
        int,
        Option(min=0, max=100, help="Number of samples to show with their nearest real images; 0 skips the search."),
    ] = 8,
    among: Annotated[int, Option(min=1, max=2**31 - 1, help="Maximum number of real images to search.")] = 2000,
    seed: Annotated[int, Option(min=0, help="Random seed of these samples.")] = 0,
    device: DeviceOption = "auto",
    plugin: PluginOption = None,
) -> None:
    """Write report.html, a page that needs neither a server nor a network connection.

    The page of a run shows its samples over time, curves, scores, findings and recipe. A run also writes this page
    itself, at checkpoints and at the end. The page of a folder lists its runs and compares two side by side.

    Examples:

      gankit report results/dcgan_cifar10

      gankit report results

      gankit report results/dcgan_cifar10 --features effnet_lite0 --among 50000
    """
    if not (directory / RECIPE).is_file():
        _write_overview(directory)
        return
    from ..evaluation.request import Request
    from ..reports.run_report import RunReport

    page = RunReport(directory)
    if neighbors and (found := checkpoints(directory)):
        request = Request((), features, samples=neighbors, real_samples=among, seed=seed, device=device)
        runtime = make_runtime(plugin)
        request.find_device()
        if features not in (known := runtime.registries.features):
            raise GankitError(f"--features: {known.unknown(features)}")
        try:
            with TaskProgress() as progress:
                page.find_neighbors_of_checkpoint(runtime, found[-1], request, progress.report)
        except (GankitError, ValueError) as error:
            print_message(f"the nearest real images are left out: {error}", "warning")
    output_console().print(f"written to {page.write()}")


def _write_overview(folder: Path) -> None:
    """Raises: GankitError: the folder does not exist, contains no run, or has a page of something else."""
    from ..files import write_text
    from ..reports.page.overview_page import find_runs, render_overview

    if not folder.is_dir():
        raise GankitError(f"{folder}: {'is not a folder' if folder.exists() else 'no such run directory or folder'}")
    if is_search(folder):
        from ..search import rewrite_page

        output_console().print(f"written to {rewrite_page(folder)}")
        return
    found = list(find_runs(folder))
    if not found:
        raise GankitError(f"{folder}: is neither a run directory nor a folder of run directories")
    path = folder / REPORT
    _require_replaceable(path)
    html = render_overview(folder, found)
    write_text(path, html)
    output_console().print(f"written to {path}: {len(found):,} run{'s' if len(found) > 1 else ''}")


def _require_replaceable(path: Path) -> None:
    """Raises: GankitError: the file exists, and gankit did not write it."""
    from ..files import read_failure
    from ..reports.page.render import is_own_page

    try:
        foreign = path.is_file() and not is_own_page(path)
    except OSError as error:
        raise GankitError(read_failure(path, error)) from None
    if foreign:
        raise GankitError(f"{path}: was not written by gankit and is not replaced; move, rename or delete this file")
