"""``gankit push``: share a checkpoint on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import GankitError
from ..sources import HubFolder
from .console import PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path


def push(
    source: RunOrCheckpoint,
    repository: Annotated[str, Argument(metavar="OWNER/NAME", help="The repository. Created if it does not exist.")],
    private: Annotated[bool, Option("--private", help="Create a private repository.")] = False,
    revision: Annotated[
        str | None, Option(metavar="BRANCH", help="The branch. Created if it does not exist (default: main branch).")
    ] = None,
    message: Annotated[str | None, Option(metavar="TEXT", help="Commit message.")] = None,
    license: Annotated[
        str | None,
        Option(metavar="ID", help="License of the weights, such as mit (default: that of imported weights, or none)."),
    ] = None,
    with_state: Annotated[
        bool, Option("--with-state", help="Also upload the training state, so that training can be resumed.")
    ] = False,
    dry_run: Annotated[
        Path | None,
        Option(metavar="FOLDER", parser=parse_path, help="Write the files to this folder instead of uploading them."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Upload a checkpoint with a model card to the Hugging Face Hub.

    The card shows samples, the scores of the checkpoint, its recipe and its data. An upload requires gankit's
    extra 'hub' and a token from 'hf auth login' or in the environment variable HF_TOKEN.

    Examples:

      gankit push results/dcgan_cifar10 owner/name --license mit

      gankit push results/dcgan_cifar10 owner/name --dry-run card

      gankit push results/dcgan_cifar10/checkpoints/step-00001000 owner/name --revision step-1000 --private
    """
    from ..hub.push import push as upload
    from ..hub.repository_folder import write_repository

    console = output_console()
    if dry_run is not None:
        if private or message:
            raise GankitError(f"--dry-run: uploads nothing; remove {'--private' if private else '--message'}")
        write_repository(
            source,
            dry_run,
            repository,
            revision=revision,
            license=license,
            with_state=with_state,
            runtime=make_runtime(plugin),
        )
        for path in sorted(dry_run.iterdir()):
            console.print(f"{path}: {path.stat().st_size:,} bytes")
        return
    url = upload(
        source,
        repository,
        private=private,
        revision=revision,
        message=message,
        license=license,
        with_state=with_state,
        runtime=make_runtime(plugin),
    )
    console.print(f"{url}\nto sample from it:  gankit sample {HubFolder(repository, revision)}")
