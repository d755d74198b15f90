"""Plays steps of recipes, in as many processes as the environment says, and keeps what they came to.

python play.py JOBS.json, which lists for each job: the recipe, the steps, and the file that the first process writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

import gankit

WORLD = Path(__file__).parent / "world" / "small_world.py"
PAIRS = Path(__file__).parent.parent / "paired_plugin.py"
OWN_GAMES = Path(__file__).parent.parent / "own_games" / "plugins"


def play(recipe: dict[str, Any], steps: int) -> dict[str, Any]:
    """Weights and buffers of networks and trained components, and figures after ``steps`` steps."""
    runtime = gankit.Runtime(plugins=[WORLD, PAIRS, *sorted(OWN_GAMES.glob("*.py"))])
    parsed = gankit.Recipe.parse(recipe)
    trainer = runtime.assemble(parsed)
    figures = []
    for _ in range(steps):
        scalars = trainer.step()
        figures.append({name: value.double() for name, value in scalars.items()})
    modules = trainer.state.networks() | {name: part for own in trainer.state.trained.values() for name, part in own.items()}
    states = {name: module.state_dict() for name, module in modules.items()}
    counters = {"step": trainer.state.step, "images": trainer.images, "position": trainer.state.position}
    everyone = trainer.processes.all_gather_object(
        {f"{side}.{name}": value for side, state in states.items() for name, value in state.items()}
    )
    return {"by_rank": everyone, "figures": figures, "counters": counters}


def main(jobs: Path) -> None:
    for job in json.loads(jobs.read_text()):
        result = play(job["recipe"], job["steps"])
        if (torch.distributed.get_rank() if torch.distributed.is_initialized() else 0) == 0:
            torch.save(result, job["file"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
