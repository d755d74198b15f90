"""Training: the trainer, its loop and step, callbacks, schedules, EMA, train state and recovery."""
