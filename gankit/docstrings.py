"""Read the descriptions of names from docstrings in Google style."""

from __future__ import annotations

import re


def described_names(docstring: str, section: str) -> dict[str, str]:
    """The descriptions in a section of a docstring, each on one line.

    Args:
        docstring: cleaned, as by `inspect.cleandoc`.
        section: the title, such as ``Args``.
    """
    text = docstring.partition(f"{section}:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", text, flags=re.M)
    return {name: " ".join(description.replace("``", "").split()) for name, description in found}
