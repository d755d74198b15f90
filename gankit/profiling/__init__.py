"""The time, memory and floating-point operations of a training step."""
