"""`gankit.Loss`, `gankit.Regularizer`, `gankit.Callback`, `gankit.Metric` and `gankit.Game` as base classes."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gankit

BASES = {
    "losses": gankit.Loss,
    "regularizers": gankit.Regularizer,
    "callbacks": gankit.Callback,
    "metrics": gankit.Metric,
    "games": gankit.Game,
}
NEEDED = {
    "losses": {"discriminator": lambda self, turn: turn.real_logits.mean(), "generator": lambda self, turn: turn.fake_logits.mean()},
    "regularizers": {"discriminator": lambda self, turn: turn.real_logits.mean()},
    "callbacks": {"on_step_end": lambda self, run: None},
    "metrics": {"uses": "features", "update": lambda self, values, real: None, "compute": lambda self: {"gap": 1.0}},
    "games": {"step": lambda self: self.update("generator", self.next_batch())},
}  # fmt: skip
MISSPELT = [
    ("losses", "genrator", "generator"),
    ("losses", "afer", "after"),
    ("losses", "load_state_dic", "load_state_dict"),
    ("regularizers", "genrator", "generator"),
    ("regularizers", "afer", "after"),
    ("callbacks", "on_step_ends", "on_step_end"),
    ("callbacks", "statedict", "state_dict"),
    ("metrics", "computte", "compute"),
    ("metrics", "cautoin", "caution"),
    ("games", "afer", "after"),
    ("games", "genrate", "generate"),
]


def declared(base):
    """The methods that a base class declares for type checkers."""
    tree = ast.parse(Path(sys.modules[base.__module__].__file__).read_text())
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == base.__name__]
    blocks = [node for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return [method.name for block in blocks for method in block.body if isinstance(method, ast.FunctionDef)]


@pytest.fixture
def check(runtime, recipe, add_components):
    """``check(kind, **methods)``: the check of a recipe with a subclass of the kind's base class."""

    def checked(kind, inherit=True, **methods):
        made = type("Mine", (BASES[kind],) if inherit else (), methods)
        add_components(runtime, **{kind: {"mine": made}})
        key = {"losses": {"loss": {"name": "mine"}}, "games": {"train": {"game": "mine"}}, "regularizers": {kind: ["mine"]}, "callbacks": {kind: ["mine"]}}
        evaluate = {"callbacks": [{"name": "evaluate", "metrics": ["mine"], "samples": 8}]}
        return runtime.check(recipe(**key.get(kind, evaluate)))

    checked.runtime = runtime
    return checked


@pytest.mark.parametrize(
    ("kind", "name", "meant", "inherit"),
    [(*case, inherit) for case in MISSPELT for inherit in (True, False) if inherit or case[0] != "games"],
)
def test_a_misspelt_method_is_refused(check, kind, name, meant, inherit):
    with pytest.raises(gankit.RecipeError, match=f"Mine has a method '{name}'; did you mean '{meant}'"):
        check(kind, inherit, **NEEDED[kind], **{name: lambda self, *args: None})


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, base in BASES.items() for name in declared(base)])
def test_every_declared_method_is_known(check, kind, name):
    """A method that a base class declares is one that gankit recognizes when it is misspelt."""
    assert not hasattr(BASES[kind], name)
    with pytest.raises(gankit.RecipeError, match=f"'{name}s'; did you mean"):
        check(kind, **NEEDED[kind], **{f"{name}s": lambda self, *args: None})


@pytest.mark.parametrize("kind", BASES)
def test_other_methods_may_have_any_name(check, kind):
    check(kind, **NEEDED[kind], fit=lambda self: None, gradient=lambda self: None, _afer=lambda self: None)


@pytest.mark.parametrize(
    ("kind", "methods", "message"),
    [
        ("losses", {"discriminator": NEEDED["losses"]["discriminator"]}, "loss: Mine is not a loss: it lacks `generator`"),
        ("regularizers", {}, "regularizers.0: Mine is not a regularizer: it lacks both `generator` and `discriminator`"),
        ("callbacks", {}, "callback 'mine': no on_* method"),
        ("metrics", {"uses": "features", "update": NEEDED["metrics"]["update"]}, "metric 'mine': Mine is not a metric: it lacks `compute`"),
    ],
)  # fmt: skip
def test_a_base_class_supplies_no_method(check, kind, methods, message):
    with pytest.raises(gankit.RecipeError, match=re.escape(message)):
        check(kind, **methods)


class Both(gankit.Loss, torch.nn.Module):
    """A loss that is a module."""

    def __init__(self, *, width: int = 2):
        super().__init__()
        self.register_buffer("scale", torch.ones(width))

    discriminator, generator = NEEDED["losses"]["discriminator"], NEEDED["losses"]["generator"]


class OneSided(gankit.Regularizer):
    def __init__(self, *, interval: int = 2):
        self.interval = interval

    def discriminator(self, turn):
        return turn.real_logits.mean()


class Counts(gankit.Callback):
    def __init__(self):
        self.steps = []

    def on_step_end(self, run):
        self.steps.append((run.state.step, [*run.scalars]))


def test_subclasses_have_the_methods_that_they_define(runtime, recipe, add_components, tmp_path):
    add_components(runtime, losses={"both": Both}, regularizers={"one_sided": OneSided}, callbacks={"counts": Counts})
    trainer = runtime.assemble(
        recipe(loss={"name": "both"}, regularizers=["one_sided"], callbacks=["counts"], train={"steps": 2}), tmp_path / "run"
    )
    trainer.fit()
    (first, second) = trainer.callbacks.named["counts"].steps
    assert {"one_sided", "generator_loss", "discriminator_loss"} < {*first[1]}
    assert "one_sided" not in second[1]


TYPED = '''
import torch
from torch import Tensor, nn

import gankit


class Patches(gankit.Loss, nn.Module):
    player = "generator"

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width)

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return turn.real_logits.mean()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return turn.gather(turn.fake_logits).mean()


class Penalty(gankit.Regularizer):
    def __init__(self, *, interval: int = 4) -> None:
        self.interval = interval

    def discriminator(self, any_name: gankit.Turn) -> Tensor:
        return any_name.real_logits.mean()

    def after(self, turn: gankit.Turn) -> dict[str, Tensor]:
        return {"one": torch.ones(())}


class Stop(gankit.Callback):
    def on_step_end(self, run: gankit.Run) -> None:
        run.stop("now")

    def state_dict(self) -> dict[str, int]:
        return {}


class Gap(gankit.Metric):
    uses, needs_real = "logits", False
    better = {"gap": "lower"}

    def update(self, values: Tensor, real: bool) -> None: ...

    def compute(self) -> dict[str, float]:
        return {"gap": 1.0}


class Pool(gankit.Game):
    players, honours, whole_batch = ("generator",), ("train.clip_gradient",), True

    def step(self) -> gankit.Scalars:
        return self.update("generator", self.next_batch())

    def after(self, turn: gankit.Turn) -> None: ...
'''


@pytest.mark.slow
def test_mypy_accepts_subclasses_and_finds_wrong_ones(tmp_path):
    importlib.import_module("mypy")
    root = Path(gankit.__file__).parent.parent
    wrong = TYPED.replace("run: gankit.Run)", "run: gankit.Run, more: int)").replace('player = "generator"', 'player = "critic"')
    (tmp_path / "typed.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(wrong)
    said = [
        subprocess.run([sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", tmp_path / file], cwd=root, capture_output=True, text=True, check=False).stdout
        for file in ("typed.py", "wrong.py")
    ]  # fmt: skip
    assert said[0].startswith("Success"), said[0]
    assert re.findall(r"\[([\w-]+)\]$", said[1], flags=re.M) == ["assignment", "override"], said[1]
