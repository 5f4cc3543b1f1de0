"""What may be uploaded, and in words why something may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from colorflow.demo.limits import Limits
from colorflow.schema import Page
from colorflow.utils.color import is_colored
from colorflow.utils.images import DECODER_ERRORS, IMAGE_SUFFIXES, load_image, natural_key
from colorflow.utils.strips import contain

CHAPTER = "chapter"
"""Name of every uploaded chapter; as for ``colorize.py``, a page's noise hangs on it."""

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""What is decoded, by Pillow's names."""

IN_WORDS = "PNG, JPEG, WebP, TIFF, BMP or GIF"
_MIN_SIDE = 16
_THUMBNAIL = (220, 160)


class UploadError(ValueError):
    """An upload that is refused; the message is for the person who uploaded it."""


@dataclass(frozen=True)
class Upload:
    """A picture that can be used.

    Attributes:
        page: Its name and file.
        size: Width and height, pixels.
        colored: Whether it is in colour.
        thumbnail: It, small.
    """

    page: Page
    size: tuple[int, int]
    colored: bool
    thumbnail: Image.Image


@dataclass(frozen=True)
class Uploads:
    """What came of some files.

    Attributes:
        accepted: Pictures in natural order, their page names all different.
        refused: One sentence or two about each other file.
    """

    accepted: tuple[Upload, ...] = ()
    refused: tuple[str, ...] = ()


def read_uploads(files: Sequence[str | Path], most: int, limits: Limits) -> Uploads:
    """Look at uploaded files.

    Args:
        files: Any files.
        most: How many pictures are taken, the first ones.
        limits: Of each.
    """
    accepted: dict[str, Upload] = {}
    refused: list[str] = []
    for path in sorted(map(Path, files), key=lambda path: natural_key(path.name)):
        try:
            if path.stem in accepted:
                other = accepted[path.stem].page.path.name
                raise UploadError(
                    f"{path.name}: there is a page of this name already ({other}), and results are named by their "
                    "page. Rename one of them."
                )
            if len(accepted) == most:
                raise UploadError(f"{path.name}: one too many, {most} pictures are the most here.")
            accepted[path.stem] = read_upload(path, limits)
        except UploadError as error:
            refused.append(str(error))
    return Uploads(tuple(accepted.values()), tuple(refused))


def read_upload(path: Path, limits: Limits) -> Upload:
    """Look at one uploaded file; its size is checked before it is decoded.

    Raises:
        UploadError: If it is no picture, cannot be read whole, holds several, or is over a limit.
    """
    try:
        _check_file(path, limits)
        _check_header(path, limits)
        image = load_image(path, _MIN_SIDE)
    except UploadError:
        raise
    except FileNotFoundError as error:
        raise UploadError(f"{path.name}: it is not there any more. Upload it again.") from error
    except Image.DecompressionBombError as error:
        raise UploadError(f"{path.name}: {_too_large(limits)}") from error
    except DECODER_ERRORS as error:
        raise UploadError(f"{path.name}: the picture is damaged or cut short. Export or copy it again.") from error
    return Upload(Page(CHAPTER, path.stem, path), image.size, is_colored(image), contain(image, _THUMBNAIL))


def _check_file(path: Path, limits: Limits) -> None:
    size = path.stat().st_size
    if size == 0:
        raise UploadError(f"{path.name}: the file is empty. Export or copy it again.")
    if size > limits.megabytes * 1e6:
        raise UploadError(
            f"{path.name}: {size / 1e6:.1f} MB, more than the {limits.megabytes:g} MB that a file may have here. Save "
            "it smaller, or start the demo with a larger --max-megabytes."
        )


def _check_header(path: Path, limits: Limits) -> None:
    try:
        opened = Image.open(path, formats=FORMATS)
    except Image.UnidentifiedImageError:
        named = "It is named like a picture but holds something else. " if path.suffix.lower() in IMAGE_SUFFIXES else ""
        raise UploadError(f"{path.name}: this is no picture that can be read. {named}Use {IN_WORDS}.") from None
    with opened as image:
        width, height = image.size
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a camera's JPEG with a preview
        if width * height > limits.megapixels * 1e6:
            raise UploadError(f"{path.name}: {width} x {height} pixels. {_too_large(limits)}")
        if min(width, height) < _MIN_SIDE:
            raise UploadError(
                f"{path.name}: {width} x {height} pixels. A page has at least {_MIN_SIDE} on each side; is this a "
                "thumbnail or an icon?"
            )
        if frames > 1:
            kind = f"has {frames} pages" if image.format == "TIFF" else f"is animated, with {frames} frames"
            raise UploadError(f"{path.name}: the picture {kind}. Save each page as a file of its own.")


def _too_large(limits: Limits) -> str:
    return (
        f"A picture may have {limits.megapixels:g} megapixels here. Save it smaller, or start the demo with a larger "
        "--max-megapixels."
    )
