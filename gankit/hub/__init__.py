"""Share a checkpoint on the Hugging Face Hub, with a model card. `gankit.load_generator` loads ``hub:owner/name``."""

from .push import push
from .repository_folder import write_repository

__all__ = ["push", "write_repository"]
