"""webdataset shards of pages with their recorded references: a sample, written and read.

A sample is ``page.jpg``, up to twelve ``ref.{TL|TR|BL|BR}.{0|1|2}.jpg``, a ``style.NAME.png`` for each
style that was rendered beforehand, and ``meta.json``, in tars named ``{split}-{000000}.tar`` that any
webdataset reader can stream. The page is stored at page size, a reference patch at the size of its slot on
the canvas, by the filter that stitching uses, so that training from shards differs from training from
chapters by the JPEG error alone.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from colorflow.canvas import Size, slot_box
from colorflow.data.chapters import DataError
from colorflow.data.recording import RecordedPage, patches_from_json, patches_to_json
from colorflow.data.shards.index import ShardIndex, locate, read_members
from colorflow.schema import QUADRANTS, ColorizationSample, RetrievedPatch, Style
from colorflow.utils.hashing import digest_bytes, digest_json
from colorflow.utils.seeding import generator

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


@dataclass(frozen=True)
class ShardFormat:
    """How shards are written.

    Attributes:
        page_size: Page size (W, H) of the samples.
        retriever: Name of the retriever that found the patches.
        quality: JPEG quality. 95 at 4:4:4 is our choice: chroma is what is learned.
        subsampling: JPEG chroma subsampling.
        samples_per_shard: Most samples in a tar, unless a single chapter has more.
        styles: Styles whose renditions are stored, as lossless PNG: JPEG blurs screentone.
    """

    page_size: Size
    retriever: str
    quality: int = 95
    subsampling: str = "4:4:4"
    samples_per_shard: int = 1000
    styles: tuple[Style, ...] = ()

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: For a quality, subsampling or shard size that does not exist.
        """
        if not 1 <= self.quality <= 100 or self.samples_per_shard < 1 or self.subsampling not in SUBSAMPLINGS:
            raise ValueError(
                f"ShardFormat: expected a quality of 1 to 100, one of {SUBSAMPLINGS} and at least 1 sample a shard, "
                f"got {self.quality}, {self.subsampling!r} and {self.samples_per_shard}"
            )

    def settings(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            "quality": self.quality,
            "subsampling": self.subsampling,
            "samples_per_shard": self.samples_per_shard,
            "styles": {style.name: style.describe() for style in self.styles},
        }


def encode_sample(sample: ColorizationSample, recorded: RecordedPage, form: ShardFormat) -> dict[str, Any]:
    """Return a sample as webdataset writes it: ``__key__`` and the bytes of each member.

    The key is made of letters and digits (webdataset cuts names at the first dot) and is unique by a
    digest of the page's id.
    """
    page = recorded.page
    meta: dict[str, Any] = {
        "chapter": page.chapter,
        "page": page.name,
        "digest": recorded.digest,
        "page_size": list(form.page_size),
        "retriever": form.retriever,
        "pool": list(recorded.pool),
        "references": patches_to_json(recorded.patches),
    }
    if form.styles:
        meta["styles"] = {style.name: style.describe() for style in form.styles}
    key = f"{re.sub(r'[^A-Za-z0-9]+', '_', page.id)[:40]}-{digest_bytes(page.id.encode())[:12]}"
    jpeg = {"quality": form.quality, "subsampling": form.subsampling}
    members: dict[str, Any] = {
        "__key__": key,
        "meta.json": json.dumps(meta, ensure_ascii=False).encode(),
        "page.jpg": _encode(sample.page.convert("RGB"), "JPEG", **jpeg),
    }
    for patch, image in sample.patches:
        left, top, right, bottom = slot_box(form.page_size, patch.quadrant, patch.rank)
        resized = image.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        members[_reference(patch)] = _encode(resized.convert("RGB"), "JPEG", **jpeg)
    for style in form.styles:  # by the page's id: the same page in every build, whatever else is built
        rendition = style(sample.page, generator("rendition", page.id, style.name))
        members[_rendition(style.name)] = _encode(rendition.convert("L"), "PNG")
    return members


class ShardDataset:
    """Samples of one split of a shard folder, read by byte offsets.

    webdataset writes shards; its stream reader is not used, and version 1.0 no longer ships its indexed reader.
    """

    def __init__(self, index: ShardIndex, split: str) -> None:
        """Take the samples of a split, shard after shard.

        Args:
            index: The folder's index.
            split: Name of the split, the shards' names before the number.

        Raises:
            DataError: If there is no such split.
        """
        self.shards = index.split(split)
        self.chapters = tuple(sorted({name for shard in self.shards for name in shard.chapters}))
        self.fingerprint = digest_json([shard.sha256 for shard in self.shards])
        self.styles = dict(index.styles)

    def __len__(self) -> int:
        """Number of samples."""
        return sum(shard.samples for shard in self.shards)

    def __getitem__(self, index: int) -> ColorizationSample:
        """Return a sample.

        Raises:
            DataError: For a sample that lacks a member or holds a damaged picture: the shard, the sample and what.
        """
        shard, place = locate(self.shards, index)
        members = read_members(shard, place)
        try:
            meta = json.loads(members["meta.json"])
            patches = patches_from_json(meta["references"])
            pictures = tuple((patch, _decode(members[_reference(patch)])) for patch in patches)
            renditions = {name: _decode(members[_rendition(name)]) for name in meta.get("styles", {})}
            name = f"{meta['chapter']}/{meta['page']}"
            return ColorizationSample(name, _decode(members["page.jpg"]), pictures, renditions)
        except (KeyError, TypeError, ValueError, OSError, SyntaxError) as error:
            raise DataError(
                f"{shard.path}, sample {place}: expected page.jpg, meta.json, and the pictures that this names, "
                f"got {type(error).__name__}: {error}; build the shards again"
            ) from error


def _reference(patch: RetrievedPatch) -> str:
    return f"ref.{QUADRANTS[patch.quadrant]}.{patch.rank}.jpg"


def _rendition(style: str) -> str:
    return f"style.{style}.png"


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decode(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except UnidentifiedImageError:  # its own message has an address in it, another one each time
        raise ValueError("no picture that Pillow knows") from None
