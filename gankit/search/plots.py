"""Optuna's plots of a study as pictures."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from ..reports.import_matplotlib import import_matplotlib
from ..reports.page.pictures import MAX_SIDE, encode, picture_uri

MAX_PARAMETERS = 12  # with a picture or an axis for each

PLOTS = (
    ("plot_optimization_history", "Optimization history", "The score of each complete trial, and the best so far."),
    ("plot_intermediate_values", "Scores during training", "The scores of each trial by step, also of pruned ones."),
    ("plot_param_importances", "Parameter importances", "How much of the variation each parameter explains."),
    ("plot_slice", "Slices", "The score by the value of each parameter. Darker points are later trials."),
    ("plot_parallel_coordinate", "Parallel coordinates", "A line for each complete trial through its values."),
)


class Plot(NamedTuple):
    """Pictures as ``data:`` URIs, their title, and what they show."""

    title: str
    text: str
    pictures: Sequence[str]


def draw_plots(study: optuna.Study, score: str) -> list[Plot]:
    """The plots that the study has enough trials for: at least two complete ones.

    Args:
        study: the study.
        score: what the axes call the value.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return []
    plots = []
    with _pyplot() as pyplot:
        for name, title, text in PLOTS:
            draw, pictures = getattr(optuna.visualization.matplotlib, name), []
            for arguments in _arguments(name, complete, score):
                try:
                    pictures.append(_picture(draw(study, **arguments)))
                except (ValueError, RuntimeError, ZeroDivisionError):  # importances of equal scores, for example
                    continue
                finally:
                    pyplot.close("all")
            if pictures:
                plots.append(Plot(title, text, pictures))
    return plots


def _arguments(name: str, complete: Sequence[FrozenTrial], score: str) -> list[dict[str, Any]]:
    """The arguments for each picture of a plot."""
    if name == "plot_intermediate_values":
        return [{}]
    if name == "plot_optimization_history":
        return [{"target_name": score}]
    counted = Counter(parameter for trial in complete for parameter in trial.params)
    if name == "plot_slice":
        return [{"target_name": score, "params": [parameter]} for parameter in [*counted][:MAX_PARAMETERS]]
    # conditional parameters lack a value in some trials
    everywhere = [parameter for parameter, count in counted.items() if count == len(complete)]
    return [{"target_name": score, "params": everywhere[:MAX_PARAMETERS]}] if everywhere else []


def _picture(axes: Any) -> str:
    """The picture of a figure, given by its axes or an array of them, as a ``data:`` URI."""
    figure = np.ravel(axes)[0].figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    with Image.open(buffer) as image:
        return picture_uri(encode(image, MAX_SIDE, quality=90))


@contextmanager
def _pyplot() -> Iterator[Any]:
    """A block with `matplotlib.pyplot`, which Optuna draws with. Its style and its figures end with the block."""
    matplotlib = import_matplotlib()
    from matplotlib import pyplot

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pyplot
