"""Encoded image bytes -> the pixels that the kernel takes. Importable without Triton, so that a client can decode too.

    bytes ──► header.py ──► jpeg.py (libjpeg-turbo) ──► orientation.py ──► resize.py ──► uint8 (224, 224, 3), B, G, R
          └─► pillow.py (PNG, WebP, BMP, GIF, odd JPEGs) ──┘

`decode_image` does one image; `pool.py` whole requests in bounded time, on threads and in helper processes.
Bit-exactness of each step: docs/preprocessing.md.
"""

from .image import decode_image
from .options import DecodeOptions
from .pool import DecodePool

__all__ = ["DecodeOptions", "DecodePool", "decode_image"]
