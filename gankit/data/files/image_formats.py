"""Recognizes image formats by the first bytes of a file."""

from __future__ import annotations

from PIL import features

AVIF = "avif" in features.modules and features.check("avif")  # absent from old and from some builds of Pillow
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(("AVIF",) if AVIF else ()))
"""The formats that gankit decodes. Pillow supports more; one of them starts an interpreter."""

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", *((".avif",) if AVIF else ())
)  # fmt: skip
"""A file with one of these suffixes is an image; if its content is not, it is damaged."""

PREFIX_BYTES = 64  # enough for `recognize`
UNSUPPORTED_SUFFIXES = (
    ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".psd", ".tga", ".exr", ".hdr", ".svg", ".dng", ".cr2",
    ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".dcm",
)  # fmt: skip
"""Image files that gankit does not read (see `is_unsupported_image`)."""


def recognize(prefix: bytes) -> str | None:
    """The format of a file that begins with ``prefix``: one of `FORMATS`, ``HEIC``, or None for all others."""
    if prefix.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if prefix.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if prefix.startswith(b"RIFF") and prefix[8:12] == b"WEBP":
        return "WEBP"
    if prefix.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if prefix.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if prefix.startswith(b"BM"):
        return "BMP"
    if prefix[4:8] == b"ftyp":
        brands = {prefix[start : start + 4] for start in range(8, min(int.from_bytes(prefix[:4]), len(prefix)), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF" if AVIF else None
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "HEIC"
    return None


def has_image_suffix(name: str) -> bool:
    """Whether a file is an image by its name."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_unsupported_image(name: str) -> bool:
    """Whether a file is by its name an image in a format that gankit does not read."""
    return name.lower().endswith(UNSUPPORTED_SUFFIXES) and not has_image_suffix(name)


def may_be_image(name: str, prefix: bytes) -> bool:
    """Whether a file without an image suffix may be an image, by its first bytes.

    Raw files of cameras are TIFF containers whose first image is a preview, so TIFF needs its suffix or none.
    """
    kind = recognize(prefix)
    if kind == "TIFF":
        return "." not in name.rpartition("/")[2]
    return kind in FORMATS
