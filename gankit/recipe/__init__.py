"""The recipe: its model, YAML that keeps line numbers, inheritance, overrides and validation. Imports no torch."""
