"""``python -m gankit``."""

from .cli.main import main

main()
