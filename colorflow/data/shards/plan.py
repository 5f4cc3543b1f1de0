"""What is to be built: the chapters of a folder, dealt into shards before a page is opened.

A plan is made of names, counts and options alone, so that it is the same whoever makes it, and whoever does how
much of it. It is kept beside the shards: an unfinished build is gone on with under the same plan only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from colorflow.data.chapters import DataError, HeldOut, chapter_folders, nothing_found, read_pages, split_chapters
from colorflow.utils.files import write_json_atomic
from colorflow.utils.hashing import digest_json
from colorflow.utils.seeding import stable_seed

FORMAT = "colorflow-shard-build-1"
PLAN = "build.json"


class Listing(NamedTuple):
    """A chapter folder, looked at from outside: how many pictures it holds, a digest of their names and sizes."""

    files: int
    digest: str


class PlannedShard(NamedTuple):
    """A shard, its file name without ``.tar``, and the names of the chapters that it will hold, in order."""

    name: str
    chapters: tuple[str, ...]

    @property
    def split(self) -> str:
        """The split that it belongs to."""
        return self.name.rpartition("-")[0]


def list_chapters(source: Path) -> dict[str, Listing]:
    """Look at all chapter folders, one after the other; nothing but names, counts and digests is kept.

    Raises:
        DataError: For a folder that is missing, or without pictures in folders.
    """
    listing = {}
    for folder in chapter_folders(source):
        pages, duplicates = read_pages(folder)
        sizes = [[page.path.name, page.path.stat().st_size] for page in pages]
        listing[folder.name] = Listing(len(pages) + len(duplicates), digest_json(sizes)[:16])
    if not any(chapter.files for chapter in listing.values()):
        raise nothing_found(source)
    return listing


def plan_shards(
    listing: Mapping[str, Listing], val_chapters: HeldOut, seed: int, samples_per_shard: int
) -> tuple[PlannedShard, ...]:
    """Deal chapters into shards: by hash within each split, whole chapters only.

    By hash, neighbours (volumes of one series) part and every shard is a mixture. A shard is full where the next
    chapter would bring it above ``samples_per_shard``; a chapter of more pages than that has one of its own.

    Args:
        listing: The chapters.
        val_chapters: Which are held out, see `split_chapters`.
        seed: Seed of that choice.
        samples_per_shard: Most pages a shard.

    Raises:
        DataError: For held-out chapters that do not exist, or where none is left for training.
    """
    names = [name for name, chapter in listing.items() if chapter.files]
    train, val = split_chapters(names, val_chapters, seed)
    shards: list[PlannedShard] = []
    for split, chosen in (("train", train), ("val", val)):
        dealt: list[list[str]] = []
        room = 0
        for name in sorted(chosen, key=lambda name: (stable_seed("shard", name), name)):
            if listing[name].files > room:
                dealt.append([])
                room = samples_per_shard
            dealt[-1].append(name)
            room -= listing[name].files
        shards += [PlannedShard(f"{split}-{number:06d}", tuple(part)) for number, part in enumerate(dealt)]
    return tuple(shards)


def keep_plan(folder: Path, settings: Mapping[str, Any], listing: Mapping[str, Listing]) -> None:
    """Write down what a build is made of, or compare it with what it was begun with.

    Args:
        folder: The unfinished output.
        settings: Every option that the shards depend on, as JSON values.
        listing: The chapters.

    Raises:
        DataError: For a folder begun with other options or pages, or by something else: nothing of it is used.
    """
    path = folder / PLAN
    plan = json.loads(json.dumps({"format": FORMAT, **settings, "chapters": listing}))
    if not path.exists():
        if left := sorted(item.name for item in folder.iterdir() if not item.name.startswith(".")):
            raise DataError(f"{folder}: expected an unfinished build with {PLAN}, found {left[:5]}; remove the folder")
        write_json_atomic(plan, path)
        return
    begun = json.loads(path.read_bytes())
    if different := [key for key in _changed(begun, plan) if key != "chapters"]:
        told = ", ".join(f"{key}={json.dumps(begun.get(key))}" for key in different)
        raise DataError(f"{folder} was begun with {told}; go on with the same options, or remove the folder")
    if changed := _changed(begun["chapters"], plan["chapters"]):
        raise DataError(
            f"{folder} was begun with other pages in {len(changed)} chapters, among them {changed[:5]}; what was built "
            "of them is not used: restore them, or remove the folder"
        )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
