"""What the panel shows at which size of the terminal."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from gankit.cli.progress_panel import BLOCKS, ShownRun, sparkline
from gankit.progress.meter import Speed

SCORE = "fd_effnet_lite0 25.51 at step 1,000, best 24.8 at step 800"
FINDING = "step 900: The generator has collapsed: its samples differ far less than the real images. Lower the rate."
GAN = {"discriminator_loss": 0.887, "generator_loss": 1.328, "real_logits": 0.42, "fake_logits": -0.61}


def shown(scalars, steps=60, **changes):
    """A run after ``steps`` updates, in which the scalars fall to the given values."""
    events = SimpleNamespace(score=SCORE, finding=FINDING, has_problem=True)
    run = ShownRun("quickstart", "results/quickstart/", events)
    for step in range(steps):
        values = {name: torch.tensor(value + (steps - step - 1)) for name, value in scalars.items()}
        run.add_scalars(SimpleNamespace(scalars=values, state=SimpleNamespace(step=step)))
    run.step, run.total_steps, run.checkpoint, run.speed = 1240, 2000, "step-00001000", Speed(1310.4, 67, 41)
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def draw(run, width=80, height=24, **console):
    file = io.StringIO()
    settings = {"force_terminal": True, "color_system": None, "legacy_windows": False, "_environ": {}} | console
    Console(file=file, width=width, height=height, **settings).print(run)
    return file.getvalue().splitlines()


class TestSizes:
    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_it_fits_the_width(self, width):
        lines = draw(shown(GAN), width)
        assert len(lines) == 8
        assert all(cell_len(line) <= width for line in lines)
        name, bar, speed, loss, output, score, finding, checkpoint = lines
        assert name.startswith("quickstart  results/quickstart/")
        assert "step 1,240/2,000  62%" in bar
        assert bar.count("━") >= 0.55 * (width - 21) - 4  # the whole bar is drawn, in two colors
        assert speed.startswith("speed       1,310 images/s")
        assert loss.startswith("loss        D 0.887 ")
        assert output.startswith("D's output  0.420 on real")
        assert (score.endswith("…"), score.startswith("score       fd_effnet_lite0 25.5")) == (width < 80, True)
        assert (finding.endswith("…"), finding[:20]) == (width < 120, "finding     step 900")
        assert checkpoint == "checkpoint  step-00001000"
        assert "G 1.328 " in loss
        assert sum(c in BLOCKS for c in loss) >= width - 44
        assert speed.endswith("1:07 elapsed  0:41 left")

    @pytest.mark.parametrize("width", [1, 10, 20, 40])
    def test_a_very_narrow_terminal_has_a_line_for_each_loss(self, width):
        lines = draw(shown(GAN), width)
        assert len(lines) == 9
        assert all(cell_len(line) <= width for line in lines)
        if width == 40:
            assert [line[12:19] for line in lines[3:5]] == ["D 0.887", "G 1.328"]

    @pytest.mark.parametrize(
        ("height", "labels"),
        [
            (2, ["━━"]),
            (4, ["━━", "lo"]),
            (8, ["━━", "sp", "lo", "fi"]),
            (14, ["qu", "━━", "sp", "lo", "D'", "sc", "fi"]),
            (16, ["qu", "━━", "sp", "lo", "D'", "sc", "fi", "ch"]),
        ],
    )
    def test_a_short_terminal_shows_what_matters_most(self, height, labels):
        assert [line[:2] for line in draw(shown(GAN), height=height)] == labels

    def test_at_the_end(self):
        lines = draw(shown(GAN, has_ended=True))
        assert "left" not in "".join(lines)
        assert not any(line.startswith("checkpoint") for line in lines)

    def test_before_the_first_step(self):
        events = SimpleNamespace(score="", finding="", has_problem=False)
        lines = draw(ShownRun("new", "results/new/", events, total_steps=10))
        assert lines[0].startswith("new  results/new/")
        assert len(lines) == 2
        assert lines[1].endswith("step 0/10  0%")


class TestGames:
    def test_one_player(self):
        lines = draw(shown({"generator_loss": 0.25}))
        assert next(line for line in lines if line.startswith("loss")).startswith("loss        G 0.250 █")
        assert not any(line.startswith("D's output") for line in lines)

    def test_own_terms(self):
        terms = {"velocity_error": 0.5, "distillation": 2.0, "a_term_whose_name_is_longer_than_the_panel_is_wide": 3.0}
        lines = draw(shown(terms), width=60)
        first = next(index for index, line in enumerate(lines) if line.startswith("loss"))
        assert lines[first].startswith("loss        velocity error 0.500 ")
        assert "distillation 2.000 " in lines[first]
        assert lines[first + 1].startswith(" " * 12 + "a term whose")
        assert lines[first + 1].rstrip().endswith("3.000")
        assert all(cell_len(line) <= 60 for line in lines)

    def test_a_term_that_only_some_steps_report(self):
        run = shown({"discriminator_loss": 0.5}, steps=2)
        run.add_scalars(SimpleNamespace(scalars={"generator_loss": torch.tensor(2.0)}, state=SimpleNamespace(step=3)))
        loss = next(line for line in draw(run) if line.startswith("loss"))
        assert "D 0.500 " in loss
        assert "G 2.000 " in loss

    def test_a_return_forgets_later_steps(self):
        run = shown(GAN, steps=10)
        run.return_to(4)
        loss = next(line for line in draw(run) if line.startswith("loss"))
        assert "D 5.887 █" in loss
        assert sum(c in BLOCKS for c in loss) == 2 * 5


class TestTerminals:
    def test_characters_that_the_terminal_lacks(self):
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
        console = Console(file=file, width=60, height=24, force_terminal=True, color_system=None, _environ={})
        console.print(shown(GAN))

    def test_names_with_control_characters(self):
        lines = draw(shown({"\x1b[2J": 1.0}, name="a\x1b[2Jb", checkpoint="\x07"))
        assert "\x1b" not in "".join(lines)
        assert "\x07" not in "".join(lines)
        assert lines[0].startswith(r"a\x1b[2Jb")

    def test_without_color(self):
        colored, plain = (
            "".join(draw(shown(GAN), color_system="standard", _environ=environ)) for environ in ({}, {"NO_COLOR": "1"})
        )
        assert "\x1b[33m" in colored  # the finding
        assert "\x1b[33m" not in plain


FLOATS = st.floats(allow_nan=True, allow_infinity=True)


class TestSparkline:
    @given(st.lists(FLOATS, max_size=30), st.integers(-3, 40))
    def test_any_values(self, values, width):
        line = sparkline(values, width)
        assert len(line) == min(len(values), max(width, 0))
        last = values[len(values) - len(line) :]
        drawn = [(value, block) for value, block in zip(last, line, strict=True) if math.isfinite(value)]
        assert all((block == " ") == (not math.isfinite(value)) for value, block in zip(last, line, strict=True))
        heights = [BLOCKS.index(block) for _, block in sorted(drawn)]
        assert heights == sorted(heights)
        if len({value for value, _ in drawn}) > 1 and min(heights) != max(heights):
            assert (heights[0], heights[-1]) == (0, len(BLOCKS) - 1)

    def test_levels(self):
        assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == BLOCKS
        assert sparkline([9, 9, 0, math.nan, 7], 3) == "▁ █"
        assert sparkline([5, 5], 8) == "▁▁"
        assert sparkline([-1.7e308, 1.7e308], 8) == "▁█"
