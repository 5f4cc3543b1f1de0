"""The index of a shard folder: where each sample starts, so that any sample can be read at once.

``index.json`` holds what random access needs (byte offset of each sample) and what trust needs (size and
digest of each shard, page size, retriever). A folder of such tars without it is scanned once. The folder may be one
behind a URL, of which a sample is then read by its byte range.
"""

from __future__ import annotations

import bisect
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from colorflow.canvas import Size
from colorflow.data.chapters import DataError
from colorflow.schema import QUADRANTS, RetrievedPatch
from colorflow.utils.files import write_text_atomic
from colorflow.utils.hashing import digest_file, digest_stream
from colorflow.utils.log import get_logger
from colorflow.utils.remote import RemoteError, RemotePath, read_range

FORMAT = "colorflow-shards-1"
INDEX = "index.json"
_NAME = re.compile(r"(?P<split>.+)-(?P<number>\d+)\.tar")
_END_OF_ARCHIVE = 2 * tarfile.BLOCKSIZE
_log = get_logger(__name__)


@dataclass(frozen=True)
class Shard:
    """One tar of an index.

    Attributes:
        path: The file, here or behind a URL.
        samples: Number of samples.
        bytes: Size of the file.
        sha256: Digest of the file.
        chapters: Names of the chapters in it.
        offsets: Where each sample starts, and where the last one ends.
    """

    path: Path | RemotePath
    samples: int
    bytes: int
    sha256: str
    chapters: tuple[str, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class ShardIndex:
    """The shards of a folder, by split, and what they were made with.

    Attributes:
        root: The folder.
        page_size: Page size (W, H).
        retriever: Name of the retriever that found the patches.
        splits: Shards by split.
        styles: Description of each style whose rendition the samples hold, by name.
    """

    root: Path | RemotePath
    page_size: Size
    retriever: str
    splits: Mapping[str, tuple[Shard, ...]]
    styles: Mapping[str, Any] = field(default_factory=dict)

    def split(self, name: str) -> tuple[Shard, ...]:
        """Return a split's shards in order.

        Raises:
            DataError: If there is no such split.
        """
        if name not in self.splits:
            raise DataError(f"{self.root}: expected shards {name}-NNNNNN.tar, found splits {sorted(self.splits)}")
        return self.splits[name]


def reference_member(patch: RetrievedPatch) -> str:
    """Return the name of a patch in its sample, for example ``ref.TL.0.jpg``."""
    return f"ref.{QUADRANTS[patch.quadrant]}.{patch.rank}.jpg"


def rendition_member(style: str) -> str:
    """Return the name of a style's rendition in its sample, for example ``style.screenstyle.png``."""
    return f"style.{style}.png"


def save_index(index: ShardIndex, extra: dict[str, Any]) -> None:
    """Write an index beside its shards, atomically; ``extra`` is kept for the reader's eye."""
    splits = {
        name: {
            "samples": sum(shard.samples for shard in shards),
            "shards": [{"name": shard.path.name} | _without_path(shard) for shard in shards],
        }
        for name, shards in index.splits.items()
    }
    head = {"format": FORMAT, "page_size": index.page_size, "retriever": index.retriever, "styles": dict(index.styles)}
    content = {**head, **extra, "splits": splits}
    assert isinstance(index.root, Path), "an index is written on a disk"
    write_text_atomic(json.dumps(content, ensure_ascii=False) + "\n", index.root / INDEX)


def read_index(root: Path | RemotePath) -> ShardIndex:
    """Read a shard folder's index, or scan the tars once where there is none (and keep the result).

    Behind a URL there must be one, and the shards are believed to be as it says: what is not is found when it is read.

    Raises:
        DataError: For a missing folder, an index of another format, and shards that are missing or not of the
            size that the index gives.
    """
    if isinstance(root, RemotePath):
        try:
            return _parse_index((root / INDEX).read_bytes(), root)
        except RemoteError as error:
            raise DataError(
                f"{error}; expected a folder of shards with {INDEX}, as data/build_shards.py makes"
            ) from error
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder of shards, found none; make one with data/build_shards.py")
    path = root / INDEX
    if not path.exists():
        index = scan_shards(root)
        try:
            save_index(index, {})
        except OSError as error:
            _log.warning("%s cannot be written (%s); the shards will be scanned again next time", path, error)
        return index
    index = _parse_index(path.read_bytes(), root)
    for shards in index.splits.values():
        for shard in shards:
            _check_file(shard)
    return index


def _parse_index(data: bytes, root: Path | RemotePath) -> ShardIndex:
    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        splits = {
            name: tuple(_shard(root / item.pop("name"), **item) for item in split["shards"])
            for name, split in content["splits"].items()
        }
        width, height = content["page_size"]
        return ShardIndex(root, (width, height), content["retriever"], splits, content.get("styles", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{root / INDEX}: expected an index of format {FORMAT}, got {type(error).__name__}: {error}; remove the "
            "file and the shards will be scanned (on a disk)"
        ) from error


def _shard(path: Path | RemotePath, chapters: list[str], offsets: list[int], **rest: Any) -> Shard:
    return Shard(path, chapters=tuple(chapters), offsets=tuple(offsets), **rest)


def verify_shards(index: ShardIndex) -> None:
    """Compare every shard with its digest; reads all bytes.

    Raises:
        DataError: For the first shard that differs.
    """
    for shard in (shard for shards in index.splits.values() for shard in shards):
        with shard.path.open("rb") as file:
            same = digest_stream(file) == shard.sha256
        if not same:
            raise DataError(f"{shard.path}: the file has changed since it was indexed; restore it or build it again")


def scan_shards(root: Path) -> ShardIndex:
    """Make the index of a folder of tars by reading them all.

    Raises:
        DataError: For no shards, a truncated or foreign tar, a sample without page or metadata, a repeated key,
            or shards of different page sizes.
    """
    splits: dict[str, list[Shard]] = {}
    kinds: set[tuple[Size, str, str]] = set()
    keys: Counter[str] = Counter()
    for path in sorted(path for path in root.iterdir() if _NAME.fullmatch(path.name)):
        shard, found = _scan_shard(path, keys)
        kinds |= found
        splits.setdefault(_NAME.fullmatch(path.name)["split"], []).append(shard)  # type: ignore[index]
    if not splits:
        raise DataError(f"{root}: expected shards named train-000000.tar, found none; is this the right folder?")
    if len(kinds) != 1:
        raise DataError(f"{root}: expected shards of one page size, retriever and style, found {sorted(kinds)}")
    page_size, retriever, styles = kinds.pop()
    by_split = {name: tuple(shards) for name, shards in splits.items()}
    return ShardIndex(root, page_size, retriever, by_split, json.loads(styles))


def locate(shards: Sequence[Shard], index: int) -> tuple[Shard, int]:
    """Return the shard that holds a sample and the sample's place in it.

    Raises:
        IndexError: For an index outside the shards.
    """
    ends = list(accumulate(shard.samples for shard in shards))
    if not 0 <= index < (ends[-1] if ends else 0):
        raise IndexError(f"sample {index} of {ends[-1] if ends else 0}")
    number = bisect.bisect_right(ends, index)
    return shards[number], index - (ends[number - 1] if number else 0)


def read_members(shard: Shard, place: int) -> dict[str, bytes]:
    """Return the members of one sample by their names without the key; opens nothing for longer than this.

    Raises:
        DataError: For a file that is cut short, damaged, or not the one that was indexed.
    """
    start, stop = shard.offsets[place], shard.offsets[place + 1]
    try:
        data = read_range(shard.path, start, stop)
    except RemoteError as error:
        raise DataError(f"sample {place}: {error}") from error
    if len(data) != stop - start:
        raise DataError(f"{shard.path}: cut short after it was indexed; restore it or build it again")
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {_split_name(member.name): _content(tar, member) for member in tar if member.isfile()}
    except tarfile.TarError as error:
        raise DataError(f"{shard.path}, sample {place}: damaged ({error}); restore it or build it again") from error
    if len({key for key, _ in files}) != 1:
        raise DataError(f"{shard.path}: changed after it was indexed; restore it, or remove {INDEX} to index it again")
    return {name: data for (_, name), data in files.items()}


def _scan_shard(path: Path, keys: Counter[str]) -> tuple[Shard, set[tuple[Size, str, str]]]:
    """Index one tar and check its samples; ``keys`` collects the keys of all shards."""
    offsets, last = [], 0
    chapters: dict[str, None] = {}
    kinds: set[tuple[Size, str, str]] = set()
    try:
        for key, start, end, members in _samples(path):
            keys[key] += 1
            if keys[key] > 1:
                raise DataError(f"{path}: the sample {key!r} appears twice; every key must be unique in its folder")
            if not {"page.jpg", "meta.json"} <= members.keys():
                raise DataError(f"{path}: sample {key!r} has {sorted(members)}, expected page.jpg and meta.json")
            meta = json.loads(members["meta.json"])
            chapters[meta["chapter"]] = None
            page_size = (int(meta["page_size"][0]), int(meta["page_size"][1]))
            kinds.add((page_size, meta["retriever"], json.dumps(meta.get("styles", {}), sort_keys=True)))
            offsets.append(start)
            last = end
    except (tarfile.TarError, EOFError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: expected a whole tar of our samples, got {type(error).__name__}: {error}; restore it, build it "
            "again, or remove it"
        ) from error
    if not offsets:
        raise DataError(f"{path}: expected samples, found an empty tar; remove it")
    size = path.stat().st_size
    if size < last + _END_OF_ARCHIVE:
        raise DataError(f"{path}: cut short after {len(offsets)} samples; restore it or build it again")
    shard = Shard(path, len(offsets), size, digest_file(path), tuple(chapters), (*offsets, last))
    return shard, kinds


def _samples(path: Path) -> Iterator[tuple[str, int, int, dict[str, bytes]]]:
    """Yield (key, first byte, end, members) of each sample; pictures are not read."""
    current: tuple[str, int, int, dict[str, bytes]] | None = None
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            if not member.isfile():
                continue
            key, name = _split_name(member.name)
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            content = _content(tar, member) if name == "meta.json" else b""
            if current and current[0] == key:
                current = (key, current[1], end, current[3] | {name: content})
                continue
            if current:
                yield current
            current = (key, member.offset, end, {name: content})
    if current:
        yield current


def _split_name(name: str) -> tuple[str, str]:
    """Split a member's name as webdataset does: the key ends at the first dot of the base name."""
    folder, slash, base = name.rpartition("/")
    key, _, extension = base.partition(".")
    return folder + slash + key, extension


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    data = file.read() if file else b""
    if len(data) != member.size:
        raise tarfile.ReadError(f"unexpected end of {member.name}")
    return data


def _check_file(shard: Shard) -> None:
    assert isinstance(shard.path, Path)
    size = shard.path.stat().st_size if shard.path.is_file() else None
    if size != shard.bytes:
        raise DataError(
            f"{shard.path}: expected {shard.bytes} bytes as indexed, got {'no file' if size is None else size}; "
            f"restore the shard, or remove {INDEX} to index what is there"
        )


def _without_path(shard: Shard) -> dict[str, Any]:
    return {name: value for name, value in asdict(shard).items() if name != "path"}
