"""File utilities for plugins: atomic writes, the data folder, image files and zip archives, logs and image grids."""

from .data.files.decoding import DecodeError, decode_image, open_image, upright_size
from .data.files.image_files import ImageFiles, open_image_files
from .data.files.image_formats import IMAGE_SUFFIXES
from .data.files.image_scan import ImageScan, scan_images
from .data.files.safe_zip import open_zip
from .files import data_root, whole_file, whole_folder
from .runs.json_lines import JsonLines
from .sampling.image_grid import make_grid, save_animation, save_grid

__all__ = [
    "IMAGE_SUFFIXES", "DecodeError", "ImageFiles", "ImageScan", "JsonLines", "data_root", "decode_image", "make_grid",
    "open_image", "open_image_files", "open_zip", "save_animation", "save_grid", "scan_images", "upright_size",
    "whole_file", "whole_folder",
]  # fmt: skip
