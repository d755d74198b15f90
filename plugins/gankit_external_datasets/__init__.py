"""Datasets of other libraries: Hugging Face datasets, WebDataset shards, parquet files, and those of torchvision."""

from __future__ import annotations

import gankit

from .hugging_face import HuggingFace
from .parquet_files import Parquet
from .torchvision_set import TorchvisionSet
from .web_dataset import WebDataset


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register the datasets."""
    registries.datasets.add("huggingface", HuggingFace)
    registries.datasets.add("webdataset", WebDataset)
    registries.datasets.add("parquet", Parquet)
    registries.datasets.add("torchvision", TorchvisionSet)
