"""Writes videos with PyAV, an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional as F

from ..files import output_file
from ..optional_imports import import_optional

QUALITY = "16"  # constant rate factor of x264: visually lossless
BLACK = 0


def save_mp4(frames: Sequence[Tensor], path: Path, frames_a_second: int) -> None:
    """Write a video: H.264 in 4:2:0, which all players show.

    Args:
        frames: uint8 [h w c] of one size, with 1, 3 or 4 channels; transparency is ignored.
        path: the file.
        frames_a_second: the frame rate.

    Raises:
        GankitError: PyAV is not installed, or the file cannot be written.
    """
    av = import_optional("av", "av", f"{path}: an MP4", "video")
    height, width = frames[0].shape[:2]
    with output_file(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frames_a_second)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.options = {"crf": QUALITY}
        for frame in frames:
            colors = frame[..., : 3 if frame.shape[2] >= 3 else 1].expand(-1, -1, 3)  # without an alpha channel
            even = F.pad(colors, (0, 0, 0, width % 2, 0, height % 2), value=BLACK)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even.contiguous().numpy(), format="rgb24")))
        container.mux(stream.encode())
