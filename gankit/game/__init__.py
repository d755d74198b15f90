"""The adversarial game: the networks, what losses see in a turn, and one training step."""
