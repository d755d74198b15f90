"""From a checked recipe to the parts of a trainer: data prepared, networks built, optimizers given their parameters."""
