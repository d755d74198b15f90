"""Export: a trained generator as a file that other programs run or load without gankit."""

from .export_generator import Exported, export

__all__ = ["Exported", "export"]
