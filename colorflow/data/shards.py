"""webdataset shards of pages with their recorded references: what a sample is, and writing them.

A sample is ``page.jpg``, up to twelve ``ref.{TL|TR|BL|BR}.{0|1|2}.jpg``, a ``style.NAME.png`` for each
style that was rendered beforehand, and ``meta.json``, in tars named ``{split}-{000000}.tar`` that any
webdataset reader can stream. The page is stored at page size, a reference patch at the size of its slot on
the canvas, by the filter that stitching uses, so that training from shards differs from training from
chapters by the JPEG error alone.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import webdataset
from PIL import Image
from tqdm import tqdm

from colorflow.canvas import Size, slot_box
from colorflow.data.chapters import DataError
from colorflow.data.recording import RecordedPage, patches_to_json
from colorflow.data.shard_index import (
    ShardIndex,
    read_index,
    reference_member,
    rendition_member,
    save_index,
    scan_shards,
)
from colorflow.schema import ColorizationSample, Style
from colorflow.utils.hashing import digest_bytes
from colorflow.utils.seeding import generator

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


class RecordedSamples(Protocol):
    """What shards are written from: samples and their records, as ``ChapterDataset`` has them."""

    recorded: tuple[RecordedPage, ...]

    def __getitem__(self, index: int) -> ColorizationSample:
        """Return a sample, decoded."""
        ...


@dataclass(frozen=True)
class ShardFormat:
    """How shards are written.

    Attributes:
        page_size: Page size (W, H) of the samples.
        retriever: Name of the retriever that found the patches.
        quality: JPEG quality. 95 at 4:4:4 is our choice: chroma is what is learned.
        subsampling: JPEG chroma subsampling.
        samples_per_shard: Largest number of samples in a tar.
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


def build_shards(splits: Mapping[str, RecordedSamples], output: Path, form: ShardFormat) -> ShardIndex:
    """Write all splits and their index: the folder ``output`` appears whole or not at all.

    Everything is written to ``<output>.partial`` (see ``partial_folder``) and renamed at the end.

    Args:
        splits: Samples by split name; a split without samples writes no shard.
        output: Folder that must not exist yet.
        form: How to write.

    Returns:
        The index of the finished folder.

    Raises:
        DataError: If the output exists, or there is nothing to write.
    """
    folder = partial_folder(output)
    for split, samples in splits.items():
        _write_split(samples, split, folder, form)
    save_index(scan_shards(folder), {"jpeg": {"quality": form.quality, "subsampling": form.subsampling}})
    os.replace(folder, output)
    return read_index(output)


def partial_folder(output: Path) -> Path:
    """Return the folder in which an unfinished output grows, without the shards of an interrupted build.

    Whatever else lies in it (recorded retrieval, the slow part) is kept, so that a build that was
    interrupted goes on from there.

    Raises:
        DataError: If the output itself exists.
    """
    if output.exists():
        raise DataError(f"{output} exists; shards are never added to a folder: remove it, or choose another output")
    folder = output.with_name(output.name + ".partial")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.tar"):
        path.unlink()
    return folder


def _write_split(samples: RecordedSamples, split: str, folder: Path, form: ShardFormat) -> None:
    """Write one split through webdataset's ShardWriter; same samples, same bytes (times are zero)."""
    files: list[IO[bytes]] = []

    def opener(name: str) -> IO[bytes]:
        files.append(open(folder / name, "wb"))  # noqa: SIM115 - closed by the writer's post hook
        return files[-1]

    def finish(name: str) -> None:
        files[-1].close()

    if not samples.recorded:
        return
    pattern = f"{split.replace('%', '%%')}-%06d.tar"
    options: dict[str, Any] = {"opener": opener, "post": finish, "encoder": False, "mtime": 0, "verbose": 0}
    with webdataset.ShardWriter(pattern, maxcount=form.samples_per_shard, maxsize=2**40, **options) as writer:
        for number, recorded in enumerate(tqdm(samples.recorded, desc=f"writing {split}", unit="page", disable=None)):
            writer.write(encode_sample(samples[number], recorded, form))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("L").save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(image: Image.Image, form: ShardFormat) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=form.quality, subsampling=form.subsampling)
    return buffer.getvalue()
