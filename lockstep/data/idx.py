"""The IDX format of MNIST's files: read, gunzip, parse, and say exactly what is wrong with a file.

Format: two zero bytes, a type byte (8 = unsigned bytes), the number of dimensions, each dimension
as a big-endian 32-bit integer, then the values. Source: LeCun, Cortes & Burges, the MNIST page.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import LockstepError, reason

UNSIGNED_BYTE = 8
GZIP = b"\x1f\x8b"
LARGEST = 1 << 30
"""Bytes; no file of these datasets comes near, and a gzip bomb stops here."""


def read_bytes(path: Path) -> bytes:
    """The file as it lies on disk, or one sentence why it cannot be read."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise LockstepError(
                f"{path} has {size:,} bytes; no file of these datasets has so many."
            )
        return path.read_bytes()
    except OSError as error:
        raise LockstepError(f"Cannot read {path}: {reason(error)}.") from None


def content_of(raw: bytes, path: Path) -> bytes:
    """The content of a file's bytes, decompressed if they are gzip, as `.gz` promises they are."""
    return gunzip(raw, path) if path.suffix == ".gz" or raw.startswith(GZIP) else raw


def gunzip(raw: bytes, path: Path) -> bytes:
    """Decompress, or say why it cannot be done; `path` only names the file in that sentence."""
    if not raw:
        raise LockstepError(f"{path} is empty; fetch it again.")
    if not raw.startswith(GZIP):
        raise LockstepError(
            f"{path} is not gzip, though its name ends in .gz; rename it if it is the plain file, "
            "or fetch it again."
        )
    try:
        decompressor = zlib.decompressobj(wbits=31)
        content = decompressor.decompress(raw, LARGEST)
    except zlib.error as error:
        raise LockstepError(f"{path} is damaged gzip ({error}); fetch it again.") from None
    if not decompressor.eof:
        raise LockstepError(
            f"{path} is truncated: its gzip data stops after {len(content):,} bytes of content; "
            "fetch it again."
        )
    return content


def parse(content: bytes, dimensions: int, path: Path) -> np.ndarray:
    """The array in an IDX file: images (N, rows, columns) or labels (N,), uint8."""
    expected = (0, 0, UNSIGNED_BYTE, dimensions)
    if tuple(content[:4]) != expected:
        raise LockstepError(
            f"{path} does not start as an IDX file should: its magic number is "
            f"0x{content[:4].hex()}, not 0x{bytes(expected).hex()}."
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise LockstepError(f"{path} is truncated: it ends within its header.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = int(np.prod(shape, dtype=object))
    if len(content) != header + size:
        fault = "is truncated" if len(content) < header + size else "is too long"
        raise LockstepError(
            f"{path} {fault}: its header announces {' × '.join(map(str, shape))} = {size:,} bytes, "
            f"and {len(content) - header:,} follow."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()  # writable
