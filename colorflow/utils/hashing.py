"""SHA-256 digests of bytes, files, pictures and JSON values, as lowercase hexadecimal."""

from __future__ import annotations

import hashlib
import json
import os
from typing import IO, Any

from PIL import Image


def digest_bytes(data: bytes) -> str:
    """Digest of a byte string."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: str | os.PathLike[str]) -> str:
    """Digest of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return digest_stream(file)


def digest_stream(file: IO[bytes]) -> str:
    """Digest of the bytes that an open file still holds, read in pieces."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def digest_image(image: Image.Image) -> str:
    """Digest of mode, size and pixels: equal for equal pictures, whatever file they came from.

    A palette picture's palette is not part of it: convert to RGB first.
    """
    header = f"{image.mode} {image.width} {image.height} ".encode()
    return digest_bytes(header + image.tobytes())


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of the order of keys.

    Raises:
        TypeError: For what JSON has no form for (a Path, a tensor): convert it first.
    """
    return digest_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
