"""Plays steps of recipes, in as many processes as the environment says, and keeps what they came to.

python play.py JOBS.json, which lists for each job: the recipe, the steps, and the file that the first process writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

import gankit

WORLD = Path(__file__).parent / "small_world.py"


class SharedDraws(TorchFunctionMode):
    """`torch.rand` gives each process its rows of what one process would draw; what penalties draw is each's own else."""

    def __init__(self, rank: int, world_size: int) -> None:
        super().__init__()
        self.rank, self.world_size = rank, world_size
        self.random = torch.Generator().manual_seed(5)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.rand and "generator" not in kwargs:
            count, *rest = args
            whole = func(count * self.world_size, *rest, generator=self.random, **kwargs)
            return whole[self.rank * count : (self.rank + 1) * count]
        return func(*args, **kwargs)


def play(recipe: dict[str, Any], steps: int, shared_draws: bool = True) -> dict[str, Any]:
    """Weights, buffers, gradients left behind, and figures after ``steps`` steps."""
    runtime = gankit.Runtime(plugins=[WORLD])
    parsed = gankit.Recipe.parse(recipe)
    trainer = runtime.assemble(parsed)
    figures = []
    engine = trainer.parts.game.engine
    for _ in range(steps):
        if shared_draws:
            with SharedDraws(engine.rank, engine.world_size) as mode:
                mode.random.manual_seed(trainer.state.step)
                scalars = trainer.step()
        else:
            scalars = trainer.step()
        figures.append({name: value.double() for name, value in scalars.items()})
    networks = {name: network.state_dict() for name, network in trainer.state.networks().items()}
    counters = {"step": trainer.state.step, "images": trainer.images, "position": trainer.state.position}
    everyone = engine.processes.everyones(
        {f"{side}.{name}": value for side, state in networks.items() for name, value in state.items()}
    )
    return {"by_rank": everyone, "figures": figures, "counters": counters}


def main(jobs: Path) -> None:
    for job in json.loads(jobs.read_text()):
        result = play(job["recipe"], job["steps"], job.get("shared_draws", True))
        if (torch.distributed.get_rank() if torch.distributed.is_initialized() else 0) == 0:
            torch.save(result, job["file"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
