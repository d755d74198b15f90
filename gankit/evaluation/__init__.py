"""Scores of generated images: one pass over features, and a record that says how each score came about."""
