"""Toon chapters on disk."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

from colorflow.toon.page import draw_page
from colorflow.toon.spec import ToonSpec
from colorflow.utils.hashing import digest_image, digest_json
from colorflow.utils.images import save_png
from colorflow.utils.progress import bar
from colorflow.utils.seeding import stable_seed


def name_set(chapters: int, pages: int, seed: int, spec: ToonSpec) -> str:
    """Folder name of a set of chapters: equal names mean equal pixels.

    A page drawn now is part of it, so that pages of another version of the drawing code are not taken for these.
    """
    digest = digest_json([asdict(spec), digest_image(draw_page(seed, 0, spec).color)])[:8]
    return f"{chapters}x{pages}_{spec.size[0]}x{spec.size[1]}_seed{seed}_{digest}"


def write_chapters(
    output: str | os.PathLike[str],
    chapters: int,
    pages: int,
    seed: int = 0,
    spec: ToonSpec | None = None,
    progress: bool = True,
    lines: bool = False,
    parts: bool = False,
    indexed: bool = False,
) -> list[Path]:
    """Write ``<output>/toon_<seed>_<chapter>/NNN.png``, each file whole or not at all.

    Args:
        output: Folder to write to; made if absent, files of the same name are replaced.
        chapters: How many chapters, at least 1.
        pages: Pages a chapter, at least 1.
        seed: Seed of the set. Chapter c and page k do not depend on how many are written.
        spec: Options of the drawing.
        progress: Show a progress bar.
        lines: Also write the line layer, under the same names, to the sibling folder ``<output>_lines``.
        parts: Also write whose part is where (`ToonPage.parts`), to ``<output>_parts``.
        indexed: Write pages as they were drawn, ``supersample`` times finer, as pictures with a palette: they can be
            painted anew (`colorflow.data.repaint`).

    Returns:
        The chapter folders.

    Raises:
        ValueError: A count is below 1.
        NotADirectoryError: ``output`` is a file.
    """
    root, spec = Path(os.path.abspath(output)), spec or ToonSpec()
    layers = [name for name, wanted in (("lines", lines), ("parts", parts)) if wanted]
    beside = {name: root.with_name(f"{root.name}_{name}") for name in layers}
    _check((root, *beside.values()), chapters, pages)
    folders = [root / f"toon_{seed}_{chapter:03d}" for chapter in range(chapters)]
    with bar(chapters * pages, "toon pages", "page", progress) as shown:
        for chapter, folder in enumerate(folders):
            for index in range(pages):
                page = draw_page(chapter_seed(seed, chapter), index, spec)
                save_png(page.indices if indexed else page.color, folder / f"{index:03d}.png")
                for name, place in beside.items():
                    save_png(getattr(page, name), place / folder.name / f"{index:03d}.png")
                shown.update()
    return folders


def _check(roots: tuple[Path, ...], chapters: int, pages: int) -> None:
    """Refuse what cannot be written, before anything is drawn."""
    for name, count in (("chapters", chapters), ("pages", pages)):
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}; set e.g. {name}=8")
    for root in roots:
        if root.exists() and not root.is_dir():
            raise NotADirectoryError(f"toon output: expected a folder, got the file {root}; choose another output=DIR")


def chapter_seed(seed: int, chapter: int) -> int:
    """Seed of a chapter of the set ``seed``, as ``draw_chapter`` takes it."""
    return stable_seed("toon-chapter", seed, chapter)
