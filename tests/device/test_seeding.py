"""The random generators in a step: seeded by (seed, step, rank), and restored afterwards."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from gankit.device.engine import Engine

GENERATORS = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": lambda: float(torch.rand(())),
}


def scope(name: str, seed: int = 0, step: int = 0, rank: int = 0):
    engine = Engine(torch.device("cpu"), rank=rank)
    return engine.build_scope(seed) if name == "build" else engine.step_scope(seed, step)


def reseed(value: int) -> None:
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


@pytest.mark.parametrize("draw", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("name", ["step", "build"])
def test_random_numbers_do_not_depend_on_the_calling_program(name, draw):
    drawn = []
    for value in (1, 2):
        reseed(value)
        with scope(name):
            drawn.append([draw() for _ in range(3)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3


@pytest.mark.parametrize("draw", GENERATORS.values(), ids=GENERATORS)
def test_random_numbers_differ_by_seed_step_and_rank(draw):
    drawn = set()
    for seed, step, rank in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        with scope("step", seed, step, rank):
            drawn.add(draw())
    assert len(drawn) == 4


@pytest.mark.parametrize("draw", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("name", ["step", "build"])
def test_the_states_of_the_calling_program_are_restored(name, draw):
    reseed(7)
    expected = draw()
    reseed(7)
    with scope(name):
        draw()
    assert draw() == expected


def test_the_seed_of_the_latents_is_the_same_on_all_ranks():
    seeds = []
    for step, rank in ((0, 0), (0, 1), (1, 0)):
        with scope("step", step=step, rank=rank) as seed:
            seeds.append(seed)
    assert seeds[0] == seeds[1] != seeds[2]
