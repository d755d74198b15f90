"""NaN and infinity in a run: detect them, locate the layer they come from, and report it."""
