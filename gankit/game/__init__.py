"""Games: the base class of training algorithms, what losses see in a turn, and the adversarial game."""
