"""The device of a step: precision, seeding, compilation, faster convolutions and out-of-memory messages."""
