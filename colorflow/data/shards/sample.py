"""webdataset shards of pages with their recorded references: what a sample is.

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

from PIL import Image

from colorflow.canvas import Size, slot_box
from colorflow.data.recording import RecordedPage, patches_to_json
from colorflow.data.shards.index import reference_member, rendition_member
from colorflow.schema import ColorizationSample, Style
from colorflow.utils.hashing import digest_bytes
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
    members: dict[str, Any] = {
        "__key__": key,
        "meta.json": json.dumps(meta, ensure_ascii=False).encode(),
        "page.jpg": _jpeg(sample.page, form),
    }
    for patch, image in sample.patches:
        left, top, right, bottom = slot_box(form.page_size, patch.quadrant, patch.rank)
        resized = image.resize((right - left, bottom - top), Image.Resampling.BICUBIC)
        members[reference_member(patch)] = _jpeg(resized, form)
    for style in form.styles:  # by the page's id: the same page in every build, whatever else is built
        members[rendition_member(style.name)] = _png(style(sample.page, generator("rendition", page.id, style.name)))
    return members


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("L").save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(image: Image.Image, form: ShardFormat) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=form.quality, subsampling=form.subsampling)
    return buffer.getvalue()
