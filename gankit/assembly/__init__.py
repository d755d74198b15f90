"""From a recipe to a trainer: check the components, dry-run the networks, build the parts."""
