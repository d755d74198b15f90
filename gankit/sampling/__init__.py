"""Sampling: images from a generator, interpolation, image grids, and the trained generator of a checkpoint."""
