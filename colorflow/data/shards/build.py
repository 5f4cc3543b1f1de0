"""Building shards: chapters in, a folder of shards out, by one process or many, stopped and gone on with at will.

A shard is what one process writes; which one, and when, changes no byte: the plan (`shard_plan`) hangs on the
chapters alone, and a chapter's samples on the chapter. Processes take the next shard that nobody has, so that none
waits for a slow one. What is kept in memory is one chapter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from colorflow.data.chapters import DAMAGED, DataError, HeldOut, Skip, read_pages
from colorflow.data.dataset import ChapterDataset, PageCache
from colorflow.data.recording import RecordedChapter, Recorder
from colorflow.data.shards.growing import GrowingShard, read_shard
from colorflow.data.shards.index import Shard, ShardIndex, read_index, save_index
from colorflow.data.shards.plan import Listing, PlannedShard, keep_plan, list_chapters, plan_shards
from colorflow.data.shards.report import SKIPPED, BuildReport, count_similarities
from colorflow.data.shards.sample import ShardFormat, encode_sample
from colorflow.distributed.ranks import Ranks
from colorflow.schema import Chapter
from colorflow.utils.files import remove_unfinished
from colorflow.utils.log import get_logger
from colorflow.utils.output_lock import locked
from colorflow.utils.progress import bar

_CACHE_MB = 512
"""Decoded pages of one chapter: 430 at 512 x 800."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class ShardBuild:
    """What is built.

    Attributes:
        source: Folder of chapter folders.
        recorder: Finds the patches, and leaves pages out; without a cache of records.
        form: How samples are written.
        val_chapters: Held-out chapters, which become ``val-*.tar``.
        max_skip_fraction: Largest fraction of damaged pages.
    """

    source: Path
    recorder: Recorder
    form: ShardFormat
    val_chapters: HeldOut = 0.1
    max_skip_fraction: float = 0.05

    def settings(self) -> dict[str, Any]:
        """Every option that the shards depend on, as JSON values."""
        return {**self.recorder.settings(), **self.form.settings(), "val_chapters": self.val_chapters}

    def recorder_of(self, split: str) -> Recorder:
        """Black-and-white pages are left out of what is trained on; validation is of pages as they come."""
        if split == "train":
            return self.recorder
        return replace(self.recorder, page_filter=replace(self.recorder.page_filter, colorless=False))


def build_shards(build: ShardBuild, output: Path, ranks: Ranks | None = None, progress: bool = True) -> ShardIndex:
    """Write all shards and their index: the folder ``output`` appears whole or not at all.

    Everything grows in ``<output>.partial`` and is renamed at the end; the same call goes on with what is there.

    Args:
        build: What is built.
        output: Folder that must not exist yet.
        ranks: The processes that share the work; default: this one.
        progress: Show a bar, in the first process.

    Returns:
        The index of the finished folder.

    Raises:
        DataError: If the output exists, nothing or too little can be used, or the unfinished folder is of
            another build.
    """
    ranks = ranks or Ranks()
    folder = output.with_name(output.name + ".partial")
    if ranks.first:
        if output.exists():
            raise DataError(f"{output} exists; shards are never added to a folder: remove it, or choose another output")
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, ranks.first):
        listing = {name: Listing(*item) for name, item in ranks.share("listing", lambda: _begin(build, folder)).items()}
        planned = plan_shards(listing, build.val_chapters, build.recorder.seed, build.form.samples_per_shard)
        _write_shards(build, folder, planned, listing, ranks, progress)
        ranks.gather("shards")
        ranks.share("index", lambda: _finish(build, folder, planned, listing))
    ranks.share("output", lambda: os.replace(folder, output))
    return read_index(output)


def _begin(build: ShardBuild, folder: Path) -> dict[str, Listing]:
    listing = list_chapters(build.source)
    keep_plan(folder, build.settings(), listing)
    return listing


def _write_shards(
    build: ShardBuild,
    folder: Path,
    planned: Sequence[PlannedShard],
    listing: dict[str, Listing],
    ranks: Ranks,
    progress: bool,
) -> None:
    """Write the shards that are not there, as this process gets hold of them."""
    due, done, damaged = ranks.share("due", lambda: _look(folder, planned))
    take, pages, faults = ranks.counter("shards"), ranks.counter("pages"), ranks.counter("damaged")
    total = sum(chapter.files for chapter in listing.values())
    with bar(total, "shards", "page", progress and ranks.first, done) as shown:
        while (number := take(1) - 1) < len(due):
            for record in _write_shard(build, folder, planned[due[number]], ranks):
                shown.update(done + pages(record["files"]) - shown.n)
                bad = [skip for skip in record["skips"] if skip["kind"] in DAMAGED]
                if (count := damaged + faults(len(bad))) > build.max_skip_fraction * total:
                    raise DataError(
                        f"{count} of {total} pages cannot be used, more than max_skip_fraction="
                        f"{build.max_skip_fraction:g} allows, the last {bad[-1:]}; repair or remove them (records/ of "
                        f"{folder} lists those met so far), or raise max_skip_fraction"
                    )
        shown.update(done + pages(0) - shown.n)


def _look(folder: Path, planned: Sequence[PlannedShard]) -> tuple[list[int], int, int]:
    """Numbers of the shards that are not finished; the files, and the damaged ones, that are done with."""
    due, done, damaged = [], 0, 0
    for number, plan in enumerate(planned):
        shard = GrowingShard(folder, plan.name)
        if not shard.finished:
            due.append(number)
        done += sum(record["files"] for record in shard.chapters)
        damaged += sum(skip["kind"] in DAMAGED for record in shard.chapters for skip in record["skips"])
    if done:
        _log.info("%s: %d pages are done", folder, done)
    return due, done, damaged


def _write_shard(build: ShardBuild, folder: Path, plan: PlannedShard, ranks: Ranks) -> Iterator[dict[str, Any]]:
    """Write a shard from where it stands; yields the record of each chapter when it is written."""
    shard = GrowingShard(folder, plan.name)
    recorder = build.recorder_of(plan.split)
    for name in plan.chapters[len(shard.chapters) :]:
        ranks.check()
        load = PageCache(build.form.page_size, _CACHE_MB)
        pages, duplicates = read_pages(build.source / name)
        chapter = recorder.record(Chapter(name, pages), load)
        samples = ChapterDataset([chapter], build.form.page_size, load=load)
        record = _record(chapter, duplicates, len(pages))
        shard.append(
            record, (encode_sample(samples[place], page, build.form) for place, page in enumerate(chapter.pages))
        )
        yield record
    shard.finish()


def _record(chapter: RecordedChapter, duplicates: Sequence[Skip], pages: int) -> dict[str, Any]:
    """What is kept of a chapter beside its samples."""
    skips = [
        asdict(skip) | {"path": f"{chapter.name}/{Path(skip.path).name}"} for skip in (*duplicates, *chapter.skips)
    ]
    return {
        "chapter": chapter.name,
        "key": chapter.key,
        "files": pages + len(duplicates),
        "pages": {page.page.name: page.digest for page in chapter.pages},
        "skips": skips,
        "similarities": count_similarities([patch for page in chapter.pages for patch in page.patches]),
    }


def _finish(build: ShardBuild, folder: Path, planned: Sequence[PlannedShard], listing: dict[str, Listing]) -> None:
    """Write index and report of the shards, all of which are there."""
    empty = [Skip(name, "empty chapter", "no pictures in it") for name, item in listing.items() if not item.files]
    report = BuildReport(skips=empty)
    splits: dict[str, list[Shard]] = {"train": [], "val": []}
    for plan in sorted(planned, key=lambda plan: (plan.split != "val", plan.name)):  # validation first
        shard, chapters = read_shard(folder, plan.name)
        report.add(plan.split, chapters)
        if shard is not None:
            splits[plan.split].append(shard)
    remove_unfinished(folder, ".json")
    report.write(folder)
    _check(build, report, folder)
    for split, counts in report.splits.items():
        told = (counts[key] for key in ("samples", "chapters", "shards"))
        _log.info("%s: %d samples of %d chapters in %d shards", split, *told)
    form, written = build.form, {split: tuple(shards) for split, shards in splits.items() if shards}
    index = ShardIndex(folder, form.page_size, form.retriever, written, form.settings()["styles"])
    save_index(index, {"jpeg": {"quality": form.quality, "subsampling": form.subsampling}})


def _check(build: ShardBuild, report: BuildReport, folder: Path) -> None:
    """Refuse what cannot be trained on, and tell what was left out."""
    report.skipped.check(build.max_skip_fraction)
    for split, counts in report.splits.items():
        if not counts["samples"]:
            raise DataError(
                f"{build.source}: no usable page is left in the {split} chapters; left out: {report.skipped.counts()}; "
                "choose other val_chapters, or see allow_no_references and leave_out"
            )
    if report.skips:
        _log.warning("left out %s of %d; %s lists them", report.skipped.counts(), report.files, SKIPPED)
    if report.copies:
        _log.warning(
            "%d validation pages are also in training chapters, among them %s", len(report.copies), report.copies[:5]
        )
