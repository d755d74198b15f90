"""``gankit search``: search for the best values of a recipe."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Exit, Option

from ..errors import GankitError
from ..messages import counted
from ..runs.file_names import REPORT
from ..search.file_names import BEST
from .console import (
    MAX_SEED,
    Overrides,
    PluginOption,
    RecipeFile,
    make_table,
    output_console,
    parse_path,
    print_message,
)

if TYPE_CHECKING:
    from ..search import SearchResult, TrialOutcome

MAX_ROWS = 10  # of the table of the best trials


def search(
    recipe: RecipeFile,
    space: Annotated[Path, Argument(metavar="SPACE", parser=parse_path, help="A YAML file with the values to search.")],
    overrides: Overrides = None,
    trials: Annotated[int, Option(min=1, help="Number of trials of the study, with those of earlier commands.")] = 50,
    jobs: Annotated[int, Option(min=0, help="Processes at the same time; 0 runs the trials in this process.")] = 1,
    objective: Annotated[
        str | None, Option(metavar="SCORE", help="Score to optimize (default: the first of the callback evaluate).")
    ] = None,
    better: Annotated[
        Literal["auto", "lower", "higher"], Option(help="Which values of the score are better; auto asks its metric.")
    ] = "auto",
    sampler: Annotated[Literal["tpe", "random", "cmaes"], Option(help="How values are proposed.")] = "tpe",
    pruner: Annotated[Literal["median", "hyperband", "none"], Option(help="When trials are stopped early.")] = "median",
    seed: Annotated[
        int | None, Option(min=0, max=MAX_SEED, help="Random seed of the sampler (default: a new one each time).")
    ] = None,
    study: Annotated[str | None, Option(metavar="NAME", help="Name of the search (default: the recipe's).")] = None,
    storage: Annotated[
        str | None,
        Option(metavar="URL", help="Database or journal:FILE, for several machines (default: search.db in --out)."),
    ] = None,
    directory: Annotated[
        Path | None,
        Option("--out", metavar="DIR", parser=parse_path, help="Folder of the trials (default: results/search-NAME)."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Search for the values of recipe keys that give the best score. It needs the extra search.

    The same command continues a search that was stopped.

    Examples:

      gankit search my_recipe.yaml space.yaml --trials 50

      gankit search my_recipe.yaml space.yaml train.epochs=5 --jobs 2 --pruner hyperband

      gankit search my_recipe.yaml space.yaml --storage postgresql://user@host/searches
    """
    from ..search import run_search

    def report(outcome: TrialOutcome, best: TrialOutcome | None) -> None:
        output_console().print(_line(outcome, best))

    with _interrupted_by_signals() as received:
        try:
            result = run_search(
                recipe,
                space,
                overrides or (),
                trials=trials,
                directory=directory,
                study=study,
                storage=storage,
                objective=objective,
                better=None if better == "auto" else better,
                sampler=sampler,
                pruner=pruner,
                seed=seed,
                jobs=jobs,
                plugins=plugin or (),
                report=report,
            )
        except KeyboardInterrupt:
            print_message("stopped; run the same command again to continue", "note")
            raise Exit(128 + (received[0] if received else signal.SIGINT)) from None
    _print_result(result)


def _line(outcome: TrialOutcome, best: TrialOutcome | None) -> str:
    """``trial 3  complete  12.5  (best: 11.2, trial 1)  loader.batch_size=32``."""
    from ..search.space import shortened

    if outcome.error is not None:
        return f"trial {outcome.number}  failed: {outcome.error}  {'  '.join(map(shortened, outcome.overrides))}"
    value = "-" if outcome.value is None else f"{outcome.value:.5g}"
    so_far = "none" if best is None else f"{best.value:.5g}, trial {best.number}"
    settings = "  ".join(map(shortened, outcome.overrides))
    return f"trial {outcome.number}  {outcome.state}  {value}  (best: {so_far})  {settings}"


def _print_result(result: SearchResult) -> None:
    """Raises: GankitError: no trial is complete."""
    from ..search.space import shortened

    score, sign = result.objective.score, 1 if result.objective.better == "lower" else -1
    complete = [trial for trial in result.trials if trial.state == "complete" and trial.value is not None]
    if result.best is None:
        done = counted(len(result.trials), "trial")
        raise GankitError(f"{done}, of which none is complete; see {result.directory / REPORT}")
    ranked = sorted(complete, key=lambda trial: sign * (trial.value or 0.0))[:MAX_ROWS]
    rows = [(str(t.number), f"{t.value:.5g}", "  ".join(map(shortened, t.overrides))) for t in ranked]
    console, best_file = output_console(), result.directory / BEST
    console.print(make_table(rows, ("trial", score, "changes"), right=("trial", score), no_wrap=("trial", score)))
    console.print(f"best: trial {result.best.number} with {score} {result.best.value:.6g}; see {best_file}")
    for word in result.best.overrides:
        console.print(f"  {word}")
    console.print(f"report: {result.directory / REPORT}")


@contextmanager
def _interrupted_by_signals() -> Iterator[list[int]]:
    """A block in which SIGTERM and SIGHUP have the effect of Ctrl-C. Yields a list of those that arrived."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {
        number: signal.signal(number, handle) for number in numbers if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
