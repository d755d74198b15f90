"""A recipe as a flat list of settings."""

from __future__ import annotations

from gankit_trackers.recipe_settings import recipe_settings


def test_components_in_lists_are_named_as_on_the_command_line(recipe):
    regularizers = [{"name": "r1", "gamma": 0.5}, {"name": "lecam"}]
    callbacks = [{"name": "checkpoint", "every": 5}, {"name": "checkpoint", "every": 7}]
    settings = recipe_settings(recipe(regularizers=regularizers, callbacks=callbacks))
    assert settings["regularizers.r1.gamma"] == 0.5
    assert settings["regularizers.lecam.name"] == "lecam"
    assert (settings["callbacks.0.every"], settings["callbacks.1.every"]) == (5, 7)
    assert settings["optimizers.generator.betas"] == "[0.5, 0.999]"
    assert settings["train.precision"] == "fp32"
    assert settings["conditional"] is False
    assert "train.epochs" not in settings  # null
