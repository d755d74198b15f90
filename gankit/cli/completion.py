"""``gankit completion``: completion of commands in shells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument

Shell = Literal["bash", "zsh", "fish"]
SCRIPTS = Path(__file__).parent / "shells"


def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, Argument(metavar="bash|zsh|fish", help="The shell.")],
    words: Annotated[
        list[str] | None,
        Argument(
            metavar="[-- WORD...]", help="Called by the script: the words after gankit, of which the last is completed."
        ),
    ] = None,
) -> None:
    """Print a script that completes commands, options, recipes, their keys, components and runs in a shell.

    Add it to the start-up file of the shell. The first completion after a change of the installed plugins takes a few
    seconds.

    Examples:

      eval "$(gankit completion bash)"          # in ~/.bashrc

      eval "$(gankit completion zsh)"           # in ~/.zshrc, after compinit

      gankit completion fish > ~/.config/fish/completions/gankit.fish
    """
    if words is None:
        typer.echo((SCRIPTS / shell).read_text(encoding="utf-8"), nl=False)
        return
    from .completion_candidates import candidates

    root: Any = ctx.find_root()
    for value, description in candidates(root, words):
        typer.echo(f"{value}\t{' '.join(description.split())}" if description else value)
