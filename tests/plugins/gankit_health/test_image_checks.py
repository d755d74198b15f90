"""Energy distance, image sizes, and image checks that fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gankit_health.image_checks import ImageChecks
from gankit_health.image_features import energy_distance, quantized, reduced


class TestEnergyDistance:
    def test_against_all_pairs(self):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(9, 4)), random.normal(0.5, size=(7, 4))

        def pairs(a, b):
            return [np.linalg.norm(p - q) for i, p in enumerate(a) for j, q in enumerate(b) if a is not b or i != j]

        expected = 2 * np.mean(pairs(x, y)) - np.mean(pairs(x, x)) - np.mean(pairs(y, y))
        found = energy_distance(torch.from_numpy(x), torch.from_numpy(y))
        assert float(found) == pytest.approx(expected, rel=1e-9)

    def test_none_within_one_distribution(self):
        random = torch.Generator().manual_seed(0)
        distances = [float(energy_distance(*torch.randn(2, 200, 5, generator=random))) for _ in range(40)]
        assert abs(np.mean(distances)) < 0.004
        assert min(distances) < 0 < max(distances)


def test_large_images_are_averaged_down():
    assert reduced(torch.zeros(2, 3, 200, 100)).shape == (2, 3, 64, 64)
    assert reduced(torch.zeros(2, 3, 64, 48)).shape == (2, 3, 64, 48)
    assert quantized(torch.tensor([[[[-3.0, 0.001, 1.2]]]])).flatten().tolist() == pytest.approx(
        [-1, 0.00392, 1], abs=1e-4
    )


def test_a_failing_image_check_does_not_stop_the_run(assemble):
    from gankit_health.callback import Health

    trainer = assemble({"train.steps": 20, "report": False, "callbacks": [{"name": "health", "every": 10}]})
    watch = next(callback for callback in trainer.callbacks.named.values() if isinstance(callback, Health))

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    logged = []
    trainer.generate = fail
    trainer.listeners.append(logged.append)
    trainer.fit()
    message = "health no longer checks the generated images: RuntimeError: out of memory"
    reason = "its images: RuntimeError: out of memory"
    assert [event.record() for event in logged[1:-1]] == [
        {"event": "not_judged", "message": message, "reason": reason}
    ]
    assert ImageChecks.check(watch._image_checks, trainer) == ([], [])
