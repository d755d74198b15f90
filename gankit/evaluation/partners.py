"""Real items that images are generated from: each image is the partner of the real image of its item."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..assembly.sampled_items import to_inputs
from ..data.datasets import classes_of, spec_of
from ..errors import GankitError
from ..interfaces import ImageSpec, Report, VectorSpec, no_report
from ..interfaces.data_spec import IMAGE, LABEL, FieldSpec
from ..messages import did_you_mean, listed
from ..sampling.trained_generator import TrainedGenerator
from .pairs import require_partners
from .real_dataset import RealDataset, held_out_items
from .real_images import RealImages
from .request import Request


def real_partners(real: RealDataset, request: Request, pairs: Sequence[str]) -> tuple[RealDataset, Sequence[str]]:
    """The dataset of the items that images are generated from, and cautions about it.

    Without ``request.real``, these are the held-out items of the dataset if it has some.

    Args:
        real: a prepared dataset.
        request: may name the dataset.
        pairs: the names of the metrics of pairs, for cautions.
    """
    if request.real is not None:
        return real, ()
    held_out = held_out_items(real)
    if held_out is not real:
        return held_out, ()
    return real, [
        f"{', '.join(pairs)}: dataset '{real.name}' has no held-out items, so that these may be images of training; "
        "choose others with --real of gankit eval"
    ]


def open_partners(
    generator: TrainedGenerator,
    real: RealDataset,
    size: tuple[int, int],
    count: int,
    metric: str,
    report: Report = no_report,
) -> RealImages:
    """The real images, with the fields of their items that the generator takes.

    Args:
        generator: makes an image for each item.
        real: a prepared dataset.
        size: height and width of the evaluation in pixels.
        count: maximum number of items.
        metric: the name of a metric of pairs, for messages.
        report: called with the progress of the first reading.

    Raises:
        GankitError: the generator takes no fields, or the items of the dataset have other fields or classes.
    """
    sampling, own = generator.sampling, spec_of(real.dataset)
    assert sampling.data is not None
    require_partners(metric, sampling.fields, own.independent, f"{generator.checkpoint}: ")
    where = f"dataset '{real.name}'"
    for name in sampling.fields.values():
        if name not in own:
            known = did_you_mean(name, [*own])
            raise GankitError(f"{where} has no field '{name}', which the generator takes{known}")
        if not _fits(own[name], sampling.data[name]):
            raise GankitError(
                f"the field '{name}' of {where} has {_described(own[name])}, but the generator takes "
                f"{_described(sampling.data[name])}"
            )
    if sampling.image.classes and (classes := classes_of(real.dataset)) != generator.classes:
        raise GankitError(
            f"{where} has {f'the classes {listed(classes)}' if classes else 'no classes'}, but the generator was "
            f"trained with {listed(generator.classes or ())}"
        )
    fields = [
        name
        for name, spec in sampling.data.items()
        if name != IMAGE and name in own and name not in own.independent and _fits(own[name], spec)
    ]
    image = ImageSpec(*size, sampling.data.image.channels)
    return RealImages(real, image, count, report, sampling.data.only(fields))


def inputs_of(generator: TrainedGenerator, partners: RealImages, number: int) -> dict[str, Tensor]:
    """The inputs of a batch of images: fields, and labels if the generator is conditional."""
    sampling, items = generator.sampling, partners.items(number)
    labels = {"labels": items[LABEL]} if sampling.image.classes else {}
    return to_inputs(items, sampling.fields, sampling.codec) | labels


def _fits(own: FieldSpec, wanted: FieldSpec) -> bool:
    return _described(own) == _described(wanted)


def _described(spec: FieldSpec) -> str:
    """The properties that resizing cannot change."""
    if isinstance(spec, VectorSpec):
        return f"vectors of {spec.size}"
    return f"images with {spec.channels} channel{'s' if spec.channels != 1 else ''}"
