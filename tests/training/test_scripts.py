"""A trainer in a script: steps by hand, Ctrl-C, progress, and several trainers in threads."""

from __future__ import annotations

import gc
import os
import signal
import threading

import pytest
import torch
from torch import nn

import gankit


class TestStepsByHand:
    def test_saving_writes_a_checkpoint_at_once(self, runtime, recipe, tmp_path, names, weights, same):
        trainer = runtime.assemble(recipe(callbacks=[]), tmp_path / "run")
        trainer.step()
        trainer.step()
        trainer.save()
        assert trainer.checkpoint == tmp_path / "run/checkpoints/step-00000002"
        trainer.save()  # this step has one
        trainer.log({"event": "mine"})
        trainer.step()
        trainer.save()
        assert names(trainer) == ["step-00000002", "step-00000003"]
        saved = weights(trainer)
        del trainer
        gc.collect()  # it holds the lock of the directory
        assert same(saved, weights(runtime.resume(tmp_path / "run")))

    def test_the_rest_may_be_left_to_fit(self, runtime, recipe, tmp_path, names, weights, same):
        whole = runtime.assemble(recipe(), tmp_path / "whole")
        whole.fit()
        trainer = runtime.assemble(recipe(), tmp_path / "run")
        trainer.step()
        trainer.save()
        trainer.fit()
        assert names(trainer) == ["step-00000001", "step-00000004"]
        assert same(weights(trainer), weights(whole))

    def test_inside_a_loop_it_is_of_this_step(self, runtime, recipe, tmp_path, names):
        trainer = runtime.assemble(recipe(callbacks=["watcher"]), tmp_path / "run")
        for _ in trainer:
            if trainer.state.step == 2:
                trainer.save()
                assert names(trainer) == ["step-00000002"]
        assert names(trainer) == ["step-00000002", "step-00000004"]
        assert ("checkpoint", 2) in trainer.callbacks.named["watcher"].calls

    def test_nothing_is_saved_after_the_end(self, runtime, recipe, tmp_path, names):
        trainer = runtime.assemble(recipe(train={"final_checkpoint": False}), tmp_path / "run")
        trainer.fit()
        with pytest.raises(gankit.GankitError, match="this trainer has run already"):
            trainer.save()
        assert names(trainer) == []

    def test_a_finished_run_makes_no_step(self, runtime, recipe, tmp_path):
        trainer = runtime.assemble(recipe(), tmp_path / "run")
        while not trainer.finished:
            trainer.step()
        with pytest.raises(gankit.GankitError, match=r"the run is finished: it has 4 steps; check trainer\.finished"):
            trainer.step()
        assert trainer.state.step == 4


class InterruptsAtTheEnd:
    """A Ctrl-C while callbacks do their last work."""

    def on_run_end(self, run):
        os.kill(os.getpid(), signal.SIGINT)


class TestInterrupt:
    @pytest.fixture
    def trainer(self, runtime, recipe, tmp_path):
        """It is interrupted in the middle of step 2."""
        trainer = runtime.assemble(recipe(callbacks=["watcher"], report=False), tmp_path / "run")
        times = iter(range(100))

        def interrupt(*given):
            if trainer.state.step == 1 and next(times) == 0:
                os.kill(os.getpid(), signal.SIGINT)

        trainer.state.generator.register_forward_hook(interrupt)
        return trainer

    @pytest.mark.parametrize("iterate", [False, True])
    def test_the_step_is_finished_and_saved(self, runtime, recipe, tmp_path, trainer, iterate, names, weights, same):
        with pytest.raises(KeyboardInterrupt):
            [*trainer] if iterate else trainer.fit()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert (names(trainer), trainer.ending) == (["step-00000002"], "SIGINT")
        resumed = runtime.resume(tmp_path / "run")
        resumed.fit()
        whole = runtime.assemble(recipe(), tmp_path / "whole")
        whole.fit()
        assert same(weights(whole), weights(resumed))

    def test_one_at_the_end_does_not_lose_the_last_checkpoint(self, runtime, recipe, tmp_path, names):
        trainer = runtime.assemble(recipe(callbacks=["watcher"], report=False), tmp_path / "run")
        trainer.callbacks.add("interrupting", InterruptsAtTheEnd())
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
        assert (names(trainer), trainer.ending) == (["step-00000004"], "done")

    def test_a_second_one_is_raised_at_once(self, trainer, names):
        trainer.state.discriminator.register_forward_hook(
            lambda *given: os.kill(os.getpid(), signal.SIGINT) if trainer.state.step == 1 else None
        )
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
        assert names(trainer) == []

    def test_a_program_with_a_handler_of_its_own_keeps_it(self, trainer):
        received = []
        before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
        try:
            trainer.fit()
        except KeyboardInterrupt:  # would end pytest itself
            pytest.fail("the handler was replaced")
        finally:
            signal.signal(signal.SIGINT, before)
        assert (received, trainer.ending) == ([signal.SIGINT], "done")


def test_progress_is_shown_only_if_it_is_asked_for(runtime, recipe, tmp_path, capsys):
    runtime.assemble(recipe(), tmp_path / "quiet").fit()
    assert capsys.readouterr() == ("", "")
    trainer = runtime.assemble(recipe(), tmp_path / "run")
    trainer.callbacks.add("progress", gankit.make_progress())
    trainer.fit()
    assert "step 4/4" in capsys.readouterr().out


class Jitter(nn.Module):
    """An augmentation that draws from torch's global generator, between pauses in which other threads run."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()

    def forward(self, images):
        for _ in range(20):
            images = images + 0.1 * torch.randn_like(images)
            threading.Event().wait(1e-4)
        return images


class TestThreads:
    @pytest.fixture
    def kinds(self, runtime, recipe, add_components):
        add_components(runtime, augmentations={"jitter": Jitter})
        return [recipe(seed=seed, augmentations=["jitter"], train={"steps": 3}) for seed in (1, 2)]

    def test_two_trainings_give_what_each_gives_alone(self, runtime, kinds, tmp_path, weights, same):
        alone = [runtime.assemble(kind, tmp_path / f"alone{number}") for number, kind in enumerate(kinds)]
        for trainer in alone:
            trainer.fit()
        together = [runtime.assemble(kind, tmp_path / f"together{number}") for number, kind in enumerate(kinds)]
        self.run_in_threads(*(trainer.fit for trainer in together))
        for one, other in zip(alone, together, strict=True):
            assert same(weights(one), weights(other))

    def test_sampling_and_assembling_during_a_training_change_nothing(self, runtime, kinds, tmp_path, weights, same):
        alone, used = (runtime.assemble(kinds[0], tmp_path / name) for name in ("alone", "used"))
        alone.fit()

        def use():
            for _ in range(3):
                used.sample(4)
                used.augment(torch.zeros(2, 3, 16, 16))
                runtime.check(kinds[1])

        self.run_in_threads(used.fit, use)
        assert same(weights(alone), weights(used))

    def run_in_threads(self, *functions):
        failures = []

        def guarded(function):
            try:
                function()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not failures
        assert not any(thread.is_alive() for thread in threads)
