"""``train.compile``: what cannot be compiled, and who imports the compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import gankit

SGD = {"generator": {"name": "sgd", "lr": 0.01}, "discriminator": {"name": "sgd", "lr": 0.01}}
PLAIN = {"generator": {"name": "plain"}, "optimizers": SGD}


@pytest.mark.usefixtures("backend")
def test_a_gradient_taken_by_hand_is_told_what_to_do(assemble):
    trainer = assemble(**PLAIN, discriminator={"name": "plain"}, regularizers=[{"name": "by_hand"}])
    with pytest.raises(gankit.GankitError, match=r"cannot be differentiated twice: .* turn\.gradient"):
        trainer.step()


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_spectral_norm_on_few_channels_is_told_what_to_do(assemble):
    """The compiler saves the smaller of the two vectors, which is a buffer that the next pass overwrites."""
    trainer = assemble(**PLAIN, discriminator={"name": "critic", "peculiarity": "narrow spectral norm"})
    with pytest.raises(gankit.GankitError, match=r"needs what its next pass has overwritten.*train\.compile=false"):
        trainer.step()


@pytest.mark.usefixtures("backend")
def test_a_networks_own_error_stays_its_own(assemble):
    with pytest.raises(ValueError, match="^give me more images$"):
        assemble(**PLAIN, discriminator={"name": "strict"}).step()


def test_without_a_compiler_the_message_says_what_to_do(assemble):
    trainer = assemble(**PLAIN, discriminator={"name": "plain"})
    options = {"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}
    said = r"^train\.compile: torch\.compile cannot compile the generator Plain: .*compiler.*no-such-compiler.*; set train\.compile=false to train without it$"
    with torch._inductor.config.patch(options), pytest.raises(gankit.GankitError, match=said):
        trainer.step()


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_an_eager_run_never_meets_the_compiler(tmp_path, tiny_plugin_file, tiny_recipe):
    script = (
        "import gankit, sys\n"
        f"runtime = gankit.Runtime(plugins=[{str(tiny_plugin_file)!r}])\n"
        f"recipe = gankit.Recipe.load({str(tiny_recipe(tmp_path))!r}, overrides=['train.compile=' + sys.argv[1]])\n"
        "runtime.check(recipe)\n"
        "print('torch._dynamo' in sys.modules)\n"
        "runtime.assemble(recipe).step()\n"
        "print('torch._inductor.compile_fx' in sys.modules)\n"  # optimizers import other parts of the compiler
    )

    def says(compile):
        done = subprocess.run([sys.executable, "-c", script, compile], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert says("false") == ["False", "False"]
    assert says("true") == ["False", "True"]
