"""The cases of ``fuzz_recipes.py``: bundled recipes, mutated as text or as data, sometimes with overrides."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import yaml

import gankit

RECIPES = Path(__file__).parents[2] / "recipes"
Case = tuple[str, list[str]]

BIG = [2**31, 2**63, 2**64, 10**30, -(10**30), 10**5, 16_384, 16_385, 10**9]
STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 3, 0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), "", " ", "x", "é", "名", "\x1b[31m",
    "null", "1e3", "0x10", "1_000", "~", "2020-01-01", "a" * 5_000, "../../etc/passwd", "/dev/zero", "\ud800", "\0", "{}", "%s",
    [], {}, [[]], [{}], {"name": None}, {"name": "x"}, {"": ""}, {"name": ["dcgan"]}, [1, 2], [1, 2, 3], ["a"] * 50, {"start": 1, "end": 0, "over_images": 5},
    {"start": 1e308, "end": -1e308, "over_images": 1, "shape": "cosine"}, {"start": {}, "end": [], "over_images": 0}, "auto", "dcgan", "adam", "r1", *BIG,
]  # fmt: skip
SNIPPETS = [
    "\t", "\0", "\ufeff", "\u2028", "\x85", "\u202e", "\U0001f600", "\x1b", ": ", "- ", "? ", "| ", ">\n ", "&a ", "*a", "*a\n", "<<: *a\n", "!!binary aGk=",
    "!!python/object/apply:os.system [touch owned]", "!!python/name:os.system", "!!python/object/new:os.system [touch owned]", "!!set {a, b}", "!!timestamp 2020-01-01",
    "!!float x", "!!int x", "!!int 0b1", "!!bool 7", "!!null x", "!!merge x", "!!omap [a: 1]", "!x y", "!<tag:yaml.org,2002:int> 3", "%YAML 9.9\n---\n", "%TAG ! tag:x,2000:\n---\n", "---\n", "...\n", "--- a\n--- b\n",
    "2020-01-01T00:00:00Z", "1:30:00", "0o17", "010", "0x" + "f" * 6_000, "9" * 5_000, "-" + "9" * 4_200, "1" * 400 + "e" + "9" * 20, "1e400", ".nan", "-.inf", "1_2_3", "_1", "'", '"', '"\\ud800"', '"\\x00"', '"\\U00110000"', "{", "}", "[", "]", ",", "#", "@", "`",
    "[" * 60, "{a: " * 60, "[" * 3_000, "- " * 60, "x" * 70_000, "\n" * 2_000, " " * 3_000, "k: v\n" * 500, "[" + "1," * 5_000 + "]", "[" + "x: 1, " * 3_000 + "]", "\r", "\r\n",
    "seed: 1\n", "name: x\n", "extends: dcgan_cifar10.yaml\n", "train: {steps: 1}\n", "image: {size: [64, 96]}\n", "~: ~\n", "true: 1\n", "[a]: 1\n", "{a: b}: 1\n", "? |\n  k\n: 1\n", ": 1\n", "? x\n",
    "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '*a'] * 8)}]\n" for n in range(9)),
    "loss: &l [*l]\n", "train: &t {game: *t}\n", "callbacks: &c [&d {name: evaluate, params: {x: &e {y: *e}}}]\n",
]  # fmt: skip
PARENTS = [
    "fuzz.yaml", "./fuzz.yaml", "../no.yaml", "no/such.yaml", ".", "..", "", "/", "/dev/null", "/dev/zero", "/dev/stdin", "/proc/self/mem", "/etc/passwd", "pipe", "link", "loop", "a\0b", "x" * 5_000, "~", "$HOME/x.yaml",
    "http://localhost/x.yaml", "file:///etc/passwd", "circle_a.yaml", "binary.yaml", "\ud800", 3, None, [], {}, ["quickstart.yaml"], True, "quickstart.yaml", "wgan_gp_cifar10.yaml", "dcgan_image_folder.yaml",
]  # fmt: skip
KORNIA = [
    {"name": "RandomGaussianBlur", "kernel_size": [3, 3], "sigma": [0.1, 2.0]}, {"name": "ColorJitter", "brightness": 0.2}, {"name": "RandomCrop", "size": [64, 64]}, {"name": "RandomRotation", "degrees": 1e30},
    {"name": "RandomGaussianBlur", "kernel_size": [100_001, 100_001], "sigma": [0.1, 2.0]}, {"name": "RandomErasing", "scale": [0.1, 1e9]}, {"name": "RandomElasticTransform", "kernel_size": [20_001, 20_001]},
    {"name": "RandomMotionBlur", "kernel_size": 30_001, "angle": 1, "direction": 0.0}, {"name": "RandomResizedCrop", "size": [60_000, 60_000]}, {"name": "RandomRain", "number_of_drops": [10**9, 10**9]}, {"name": "RandomMedianBlur", "kernel_size": [9_999, 9_999]},
]  # fmt: skip


def case(number: int, runtime: gankit.Runtime) -> Case:
    """The text of a recipe and its overrides."""
    draw = random.Random(number)
    text = draw.choice(sorted(RECIPES.glob("*.yaml"))).read_text()
    if draw.random() < 0.5:
        for _ in range(draw.choice([1, 1, 1, 1, 2, 4])):
            text = _mutate_text(draw, text)
    else:
        data = yaml.safe_load(text)
        for _ in range(draw.choice([1, 1, 1, 1, 2, 4])):
            data = _mutate_data(draw, data, runtime)
        try:
            text = yaml.safe_dump(data, sort_keys=draw.random() < 0.2, allow_unicode=draw.random() < 0.5)
        except (yaml.YAMLError, ValueError, RecursionError):
            text = json.dumps(data)
    words = [_override(draw, runtime) for _ in range(draw.choice([0, 0, 0, 0, 0, 1, 2]))]
    return text, words


def _mutate_text(draw: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True) or [""]
    at, line = draw.randrange(len(text) + 1), draw.randrange(len(lines))
    match draw.randrange(11):
        case 0:
            return text[:at] + draw.choice(SNIPPETS) + text[at:]
        case 1:
            return text[:at] + text[at + draw.choice([1, 1, 5, 40]) :]
        case 2:
            return (
                text[:at]
                + chr(draw.choice([draw.randrange(32), draw.randrange(128), draw.randrange(0xD800), 0x10FFFF]))
                + text[at + 1 :]
            )
        case 3:
            return text[:at]
        case 4:
            lines.insert(draw.randrange(len(lines) + 1), lines[line])
        case 5:
            lines[line] = draw.choice(SNIPPETS) + "\n"
        case 6:
            key, colon, _ = lines[line].partition(":")
            lines[line] = f"{key}{colon} {draw.choice(SNIPPETS)}\n"
        case 7:
            lines.insert(line, draw.choice(SNIPPETS) + "\n")
        case 8:
            lines[line] = draw.choice(["\t", "  ", " ", "- "]) + lines[line]
        case 9:
            draw.shuffle(lines)
        case _:
            lines[line] = lines[line].replace(draw.choice("{}[],:"), draw.choice(["", "{", "]", ",,", "\t", ": "]), 1)
    return "".join(lines)


def _items(data: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        found.append((data, key))
        _items(value, found)
    return found


def _mutate_data(draw: random.Random, data: Any, runtime: gankit.Runtime) -> Any:
    data = copy.deepcopy(data)
    items = _items(data, []) if isinstance(data, (dict, list)) else []
    if not items:
        return draw.choice(STRANGE)
    holder, key = draw.choice(items)
    match draw.randrange(14):
        case 0 | 1 | 2:
            holder[key] = copy.deepcopy(draw.choice(STRANGE))
        case 3:
            del holder[key]
        case 4:
            if isinstance(holder, dict):
                holder[
                    draw.choice(
                        [
                            f"{key}s",
                            str(key)[:-1],
                            str(key).upper(),
                            "",
                            "name",
                            "x" * 3_000,
                            "<<",
                            "__class__",
                            "model_config",
                            "params",
                            ".",
                        ]
                    )
                ] = holder.pop(key)
        case 5:
            holder[key] = [holder[key]] * draw.choice([0, 1, 2, 50, 3_000])
        case 6:
            other, place = draw.choice(items)
            holder[key] = copy.deepcopy(other[place])
        case 7:
            holder[key] = draw.choice([str, repr, lambda v: {"name": v}, lambda v: {str(v): v}])(holder[key])
        case 8 | 9:
            if isinstance(data, dict):
                _swap_component(draw, data, runtime)
        case 10:
            numbers = [(h, k) for h, k in items if isinstance(h[k], (int, float))]
            if numbers:
                holder, key = draw.choice(numbers)
                holder[key] = draw.choice([*BIG, 0, -1, 0.5, 1e-300, 7, 13, holder[key] * 2**20])
        case 11:
            if isinstance(data, dict):
                data["extends"] = draw.choice(PARENTS)
        case 12:
            if isinstance(data, dict):
                data["augmentations"] = [
                    {"name": "kornia", "transforms": draw.choices(KORNIA, k=draw.choice([1, 2, 40]))}
                ]
        case _:
            for _ in range(draw.choice([5, 30, 60, 500])):
                holder[key] = draw.choice([lambda v: [v], lambda v: {"a": v}])(holder[key])
                if draw.random() < 0.01:
                    break
    return data


def _swap_component(draw: random.Random, data: dict[str, Any], runtime: gankit.Runtime) -> None:
    registry = draw.choice(list(runtime.registries))
    entries = list(registry)
    entry = draw.choice(entries)
    params = {name: copy.deepcopy(draw.choice(STRANGE)) for name in entry.schema.model_fields if draw.random() < 0.5}
    part = {"name": entry.name, **params}
    kind = registry.singular
    if registry.kind in ("regularizers", "augmentations", "callbacks"):
        data[registry.kind] = [part] * draw.choice([1, 1, 2, 30])
    elif registry.kind == "optimizers":
        data["optimizers"] = {"generator": part, "discriminator": copy.deepcopy(part)}
    else:
        data[kind] = part


def _override(draw: random.Random, runtime: gankit.Runtime) -> str:
    keys = ["train.steps", "train.epochs", "train", "image.size", "latent.dim", "generator.width", "generator", "loss", "callbacks.0.every", "callbacks.sample_images.every", "regularizers", "regularizers.0", "dataset.count", "loader.batch_size", "seed", "name", "extends", "ema.half_life_images", "optimizers.generator.lr", "", ".", "a.b.c.d", "x" * 5_000, ".".join("a" * 500), "callbacks.-1", "callbacks.9" * 20, "initialize", "conditional"]  # fmt: skip
    value = draw.choice(
        [json.dumps(draw.choice(STRANGE), allow_nan=True), draw.choice(SNIPPETS), str(draw.choice(BIG))]
    )
    return draw.choice(["{}={}", "{}={}", "{}={}", "{}{}"]).format(draw.choice(keys), value)
