"""Top-1 character accuracy of the retrieval encoders on toon chapters.

Every character instance is cut out of its page in gray; the most similar colour cut-out of the
chapter's other pages should show the same character. The paper's supplement reports 97 % for
CLIP ViT-H-14 on real comics (10 characters, 10 images each, gray queries).

    python benchmarks/retrieval_accuracy.py --chapters 8
    python benchmarks/retrieval_accuracy.py --chapters 8 --open-clip ViT-H-14:laion2b_s32b_b79k
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from colorflow.data.toon import ToonPage, ToonSpec, draw_chapter
from colorflow.models.image_encoder import ClipVisionEncoder, HogEncoder, OpenClipEncoder
from colorflow.retrieval import cosine_similarity
from colorflow.schema import PatchEncoder


@dataclass(frozen=True)
class Accuracy:
    """Counts over all queries that have a right answer.

    Attributes:
        queries: How many.
        correct: How many found the same character.
        chance: Expected number found by picking blindly among the same candidates.
    """

    queries: int
    correct: int
    chance: float

    def __add__(self, other: Accuracy) -> Accuracy:
        """Sum the counts."""
        return Accuracy(self.queries + other.queries, self.correct + other.correct, self.chance + other.chance)


def character_accuracy(
    encoder: PatchEncoder, chapters: Sequence[Sequence[ToonPage]], part: str = "box", min_side: int = 16
) -> Accuracy:
    """Count how often the nearest colour cut-out of another page shows the query's character.

    Args:
        encoder: Any patch encoder.
        chapters: Drawn chapters, at least two pages each.
        part: "box" for the whole character, "head" for its head.
        min_side: Instances with a shorter side (clipped by their panel) are left out.
    """
    return sum((_chapter_accuracy(encoder, pages, part, min_side) for pages in chapters), Accuracy(0, 0, 0.0))


def _chapter_accuracy(encoder: PatchEncoder, pages: Sequence[ToonPage], part: str, min_side: int) -> Accuracy:
    crops: list[Image.Image] = []
    labels: list[tuple[int, int]] = []
    for page in pages:
        for character in page.characters:
            left, top, right, bottom = getattr(character, part)
            if min(right - left, bottom - top) >= min_side:
                crops.append(page.color.crop((left, top, right, bottom)))
                labels.append((page.index, character.id))
    if not crops:
        return Accuracy(0, 0, 0.0)
    page_of, who = torch.tensor(labels).T
    similarities = cosine_similarity(encoder([crop.convert("L") for crop in crops]), encoder(crops))
    allowed = page_of[:, None] != page_of[None, :]
    right = allowed & (who[:, None] == who[None, :])
    answerable = right.any(1)
    nearest = similarities.masked_fill(~allowed, -2).argmax(1)
    hits = right.gather(1, nearest[:, None])[:, 0] & answerable
    chance = (right.sum(1) / allowed.sum(1).clamp(min=1))[answerable].sum()
    return Accuracy(int(answerable.sum()), int(hits.sum()), float(chance))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the chapters and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--chapters", type=int, default=8)
    parser.add_argument("--pages", type=int, default=12, help="pages a chapter")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first chapter")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 400), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--hog", type=int, nargs="*", default=[64], metavar="SIDE", help="sides to try HOG at")
    parser.add_argument("--open-clip", nargs="*", default=[], metavar="MODEL:TAG")
    parser.add_argument("--clip-folder", nargs="*", default=[], metavar="PATH")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)

    encoders: list[PatchEncoder] = [HogEncoder(side) for side in options.hog]
    for model, _, tag in (item.partition(":") for item in options.open_clip):
        encoders.append(OpenClipEncoder(model, tag or None, device=options.device))
    encoders += [ClipVisionEncoder(path, device=options.device) for path in options.clip_folder]
    spec = ToonSpec(size=tuple(options.size))
    chapters = [draw_chapter(options.seed + number, options.pages, spec) for number in range(options.chapters)]

    print(f"{options.chapters} chapters x {options.pages} pages of {spec.size[0]} x {spec.size[1]}, gray queries")
    print(f"{'encoder':<32}{'cut-out':<10}{'queries':>8}{'top-1':>9}{'chance':>9}{'ratio':>7}{'seconds':>9}")
    for encoder in encoders:
        for part in ("box", "head"):
            start = perf_counter()
            found = character_accuracy(encoder, chapters, part)
            top, chance = found.correct / found.queries, found.chance / found.queries
            row = f"{encoder.name:<32}{part:<10}{found.queries:>8}{top:>9.1%}{chance:>9.1%}"
            print(f"{row}{top / chance:>7.2f}{perf_counter() - start:>9.1f}")


if __name__ == "__main__":
    main()
