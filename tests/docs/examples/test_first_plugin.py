"""The plugin at the start of docs/plugins.md, with its checks and scores."""

from __future__ import annotations

import sys
from pathlib import Path

import gankit

ROOT = Path(__file__).parents[3]


def test_plugin_examples(blocks, cli, tmp_path, monkeypatch):
    """The documented plugin trains, passes the documented checks, and is scored by the documented metric."""
    source, checks, turn, scores = (
        next(text for text in blocks("docs/plugins.md") if part in text)
        for part in ("class LeastSquares", "check_dataset(", "import make_turn", "class MeanColor")
    )
    (tmp_path / "my_gan.py").write_text(source)
    runtime = gankit.Runtime(plugins=[tmp_path / "my_gan.py"])
    overrides = [
        "image.size=16",
        "dataset=stripes",
        "loss=least_squares",
        "regularizers=[{name: zero_centered, interval: 2}]",
        "callbacks=[{name: stop_after, steps: 3}, {name: checkpoint, every: 3}]",
        "generator.width=4",
        "discriminator.width=4",
    ]
    trainer = runtime.assemble(runtime.load_checked(ROOT / "recipes/quickstart.yaml", overrides), tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.ending) == (3, "step limit")
    (loaded,) = (plugin.module for plugin in runtime.plugins if plugin.name == "my_gan")
    monkeypatch.setitem(sys.modules, "my_gan", loaded)  # only for this test: other documents have plugins of this name
    exec(checks, {})
    exec(turn, {})
    (tmp_path / "my_scores.py").write_text(scores)
    plugins = ["--plugin", str(tmp_path / "my_gan.py"), "--plugin", str(tmp_path / "my_scores.py")]
    words = ["--metrics", "gap", "--features", "mean_color", "--samples", "6", *plugins]
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    said = cli("eval", tmp_path / "run", *words)
    assert said.code == 0, said.err
    assert " gap_mean_color " in said.out
