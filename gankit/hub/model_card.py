"""The model card of a repository on the Hub: ``README.md``, whose first lines are metadata in YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from .. import __version__
from ..evaluation.record import Evaluation
from ..runs.changes import recorded_plugins
from ..runs.file_names import weights_name
from ..sources import HubFolder
from .markdown import code, literal, table
from .shared_model import SharedModel

CARD, SAMPLES = "README.md", "samples.png"
LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]*")
LISTED_CLASSES = 100


def model_card(model: SharedModel, place: HubFolder, samples: str) -> str:
    """The text of the card.

    Args:
        model: that is shared.
        place: where it is.
        samples: what the picture ``samples.png`` shows.
    """
    sections = {
        "Use": _use(model, place),
        "Model": table(_facts(model), ("", "")),
        "Data": _data(model),
        "Scores": _scores(model),
        "License": literal(model.license) if model.license else "No license was given.",
        "Recipe": code(model.recipe.to_yaml(), "yaml") if model.recipe else "",
    }
    kind = "Generates images from images" if model.takes_images else "Generates images"
    start = (
        f"# {literal(place.repository.partition('/')[2])}\n\n{kind} with the architecture "
        f"{literal(model.checkpoint.manifest['generator']['name'])}, {_maker(model)}.\n\n"
        f"![Samples]({SAMPLES})\n\n*{samples}*\n"
    )
    parts = (f"## {title}\n\n{text}\n" for title, text in sections.items() if text)
    return f"---\n{_metadata(model)}---\n\n" + "\n".join((start, *parts))


def _maker(model: SharedModel) -> str:
    imported = model.checkpoint.manifest.get("imported")
    if not isinstance(imported, dict):
        return "trained with gankit"
    name = literal(imported.get("format"))
    if model.checkpoint.step:
        return f"trained with gankit from weights of the format {name}"
    return f"trained elsewhere and imported into gankit from the format {name}"


def _metadata(model: SharedModel) -> str:
    data: dict[str, Any] = {}
    if model.license and LICENSE_ID.fullmatch(model.license.lower()):
        data["license"] = model.license.lower()
    elif model.license:
        name = re.sub(r"[^a-z0-9.]+", "-", model.license.lower()).strip("-")
        data |= {"license": "other", "license_name": name[:90] or "unknown"}
    data["library_name"] = "gankit"
    data["pipeline_tag"] = "image-to-image" if model.takes_images else "unconditional-image-generation"
    data["tags"] = ["gankit", "gan", str(model.checkpoint.manifest["generator"]["name"])]
    if model.hub_dataset is not None:
        data["datasets"] = [model.hub_dataset]
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _use(model: SharedModel, place: HubFolder) -> str:
    name, classes = str(place), model.generator.classes
    command = f"gankit sample {name}"
    arguments = "16, seed=0" + (", labels=[0] * 16" if classes else "")
    if model.takes_images:
        command += " --input photos --out generated"
    elif classes:
        command += " --classes all"
    shell = f"pip install 'gankit[hub]'\n{command}"
    python = (
        f'import gankit\n\ngenerator = gankit.load_generator("{name}")\n'
        f'gankit.save_grid(generator.sample({arguments}), "samples.png")'
    )
    plugins = _third_party_plugins(model)
    note = f"\n\nIts run used plugins that are not part of gankit: {literal(', '.join(plugins))}." if plugins else ""
    return f"{code(shell, 'sh')}\n\n{code(python, 'python')}{note}"


def _third_party_plugins(model: SharedModel) -> list[str]:
    plugins = recorded_plugins(model.checkpoint.manifest)
    return [name for name, about in plugins.items() if not str(about.get("source")).startswith("gankit ")]


def _facts(model: SharedModel) -> Iterator[tuple[str, str]]:
    checkpoint, generator = model.checkpoint, model.generator
    manifest, versions = checkpoint.manifest, checkpoint.manifest.get("versions")
    count = sum(parameter.numel() for parameter in generator.module.parameters())
    image, latent = generator.image, manifest["latent"]
    yield "generator", f"{literal(manifest['generator']['name'])}, {count:,} parameters"
    yield "images", f"{image.width} x {image.height} pixels, {image.channels} channels"
    yield "latents", f"{literal(latent['name'])}, {literal(latent['dim'])} dimensions"
    yield "weights", "averaged over training (EMA)" if generator.ema else "of the last step"
    yield "training", f"{checkpoint.step:,} steps, {int(manifest['images']):,} images seen"
    yield "precision", literal(manifest.get("precision", "unknown"))
    if isinstance(versions, dict):
        yield "trained with", literal(", ".join(f"{name} {version}" for name, version in versions.items()))
    yield "card by", f"gankit {__version__}"
    yield f"SHA-256 of {weights_name(generator.saved_as)}", checkpoint.sha256_of(generator.saved_as)


def _data(model: SharedModel) -> str:
    data, classes = model.checkpoint.manifest.get("data"), model.generator.classes
    count = data.get("images") if isinstance(data, dict) else None
    facts = []
    if model.recipe is not None:
        facts.append(f"Dataset: {literal(model.dataset or model.recipe.dataset.name)}.")
    if isinstance(count, int):
        facts.append(f"{count:,} images.")
    if classes:
        more = f" and {len(classes) - LISTED_CLASSES:,} more" if len(classes) > LISTED_CLASSES else ""
        facts.append(f"{len(classes):,} classes: {', '.join(map(literal, classes[:LISTED_CLASSES]))}{more}.")
    return " ".join(facts)


def _scores(model: SharedModel) -> str:
    """A table of the newest score of each protocol."""
    rows = {
        (score, evaluation.protocol[score], evaluation.evaluated.ema): _row(evaluation, score)
        for evaluation in model.evaluations
        for score in evaluation.scores
    }
    columns = ("score", "value", "weights", "generated images", "real images", "size", "features", "protocol")
    note = "Scores are comparable only if their protocols are equal."
    return f"{table(rows.values(), columns)}\n\n{note}" if rows else ""


def _row(evaluation: Evaluation, score: str) -> tuple[str, ...]:
    real, image, features = evaluation.real, evaluation.image, evaluation.features
    options = "".join(f", {name}={value}" for name, value in evaluation.options.items())
    split = f", split {real.split}" if real.split else ""
    return (
        literal(score),
        f"{evaluation.scores[score]:.5g}",
        "EMA" if evaluation.evaluated.ema else "without EMA",
        literal(f"{evaluation.samples:,}, seed {evaluation.seed}{options}"),
        literal(f"{real.count:,} of {real.dataset}{split}"),
        f"{image.width} x {image.height}",
        "" if features is None else literal(features.name),
        evaluation.protocol[score],
    )
