"""The study as a whole: embed, count, write ``results.json``, ``table.md`` and ``figure9.png``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from colorflow.evaluation.report.grid import Grid
from colorflow.evaluation.results import Results, Row
from colorflow.evaluation.retrieval_study.accuracy import Accuracy, retrieval_accuracy
from colorflow.evaluation.retrieval_study.figure import Panel, draw_figure
from colorflow.evaluation.retrieval_study.pictures import (
    CharacterFolder,
    CharacterPicture,
    ToonCharacters,
    describe_pictures,
)
from colorflow.retrieval.settings import RetrievalSettings, build_encoder
from colorflow.schema import PatchEncoder
from colorflow.utils.files import write_json_atomic, write_text_atomic
from colorflow.utils.images import save_png
from colorflow.utils.log import get_logger

PAPER = {"colour": 1.0, "gray": 0.97}
"""Top-1 accuracy of CLIP-ViT-H-14-laion2B-s32B-b79K by queries, 10 characters x 10 images (paper, supplement)."""

FIGURE = "figure9.png"

PERPLEXITY = 10.0
"""Neighbours that a picture tries to keep in t-SNE: about as many as a character has pictures (our choice)."""

logger = get_logger(__name__)


@dataclass(frozen=True)
class RetrievalStudy:
    """What is compared.

    Attributes:
        encoders: A pair of rows each (colour and gray queries); equal ones are taken once.
        toon: Generated characters, where no folder is given.
        root: A folder ``<root>/<character>/*.png`` instead.
        seed: Seed of t-SNE.
    """

    encoders: Sequence[RetrievalSettings] = (RetrievalSettings(),)
    toon: ToonCharacters = field(default_factory=ToonCharacters)
    root: str | Path | None = None
    seed: int = 0

    def run(self, output: Path) -> Results:
        """Compare, write the files into ``output``, print the table.

        Returns:
            What ``results.json`` holds.

        Raises:
            ValueError, OSError: For pictures or encoders that cannot be used.
        """
        settings = list(dict.fromkeys(self.encoders))
        encoders = [build_encoder(one) for one in settings]  # missing weights fail before anything is drawn
        source = CharacterFolder(self.root) if self.root is not None else self.toon
        pictures = source.load()
        rows: list[Row] = []
        panels: list[tuple[Panel, Panel]] = []
        for one, encoder in zip(settings, encoders, strict=True):
            found, pair = self._compare(encoder, one.random_weights, pictures)
            rows += found
            panels.append(pair)
        protocol = self._protocol(describe_pictures(source, pictures), len(pictures))
        results = {"protocol": protocol, "rows": rows, "paper": PAPER}
        write_json_atomic(results, output / "results.json")
        save_png(draw_figure(panels), output / FIGURE)
        table = markdown_table(results)
        write_text_atomic(table, output / "table.md")
        print(table)
        logger.info("figure: %s", output / FIGURE)
        return results

    def _compare(
        self, encoder: PatchEncoder, random: bool, pictures: Sequence[CharacterPicture]
    ) -> tuple[list[Row], tuple[Panel, Panel]]:
        """Rows and panels of one encoder: queries in colour, then in gray."""
        name = f"{encoder.name}{' (random weights)' if random else ''}"
        grays = [picture.image.convert("L").convert("RGB") for picture in pictures]
        colours = [picture.image for picture in pictures]
        candidates = encoder(colours)
        rows, panels = [], []
        for queries, images in (("colour", colours), ("gray", grays)):
            embeddings = candidates if queries == "colour" else encoder(images)
            accuracy = retrieval_accuracy(embeddings, candidates, pictures)
            rows.append({"encoder": name, "random_weights": random, "queries": queries, **_numbers(accuracy)})
            heading = f"{name}, {queries} queries: top-1 {accuracy.top1 / len(pictures):.0%}"
            panels.append(Panel(heading, embedding_map(embeddings, self.seed), tuple(images), accuracy))
        return rows, (panels[0], panels[1])

    def _protocol(self, pictures: Row, count: int) -> Row:
        return {
            "pictures": pictures,
            "similarity": "cosine; candidates are the pictures in colour but those of the query's own page",
            "intervals": "Wilson score, 95 %, queries taken as independent",
            "map": {"method": "t-SNE, cosine", "perplexity": map_perplexity(count), "seed": self.seed},
            "versions": {name: version(name) for name in ("torch", "open_clip_torch", "scikit-learn", "scikit-image")},
        }


def map_perplexity(count: int) -> float:
    """``PERPLEXITY``, or what as few as ``count`` pictures allow."""
    return min(PERPLEXITY, (count - 1) / 3)


def embedding_map(embeddings: Tensor, seed: int) -> NDArray[np.float64]:
    """Lay embeddings, ``(N, D)`` with N at least 4, out on a plane by t-SNE, as the paper's Fig. 9.

    The start is the principal plane, so that the seed changes little.

    Returns:
        ``(N, 2)``, each axis stretched to [0, 1]: lengths on such a map mean nothing, neighbours do.
    """
    from sklearn.manifold import TSNE  # half a second to import: only where it is used

    tsne = TSNE(perplexity=map_perplexity(len(embeddings)), metric="cosine", init="pca", random_state=seed)
    places = tsne.fit_transform(embeddings.double().numpy()).astype(np.float64)
    low, high = places.min(0), places.max(0)
    return np.asarray((places - low) / np.maximum(high - low, 1e-12))


def markdown_table(results: Results) -> str:
    """The rows as Markdown, the paper's below ours."""
    rows = []
    for row in results["rows"]:
        low, high = row["top1_interval"]
        shares = f"{row['top1']:.0%}", f"[{low:.0%}, {high:.0%}]", f"{row['top3']:.0%}"
        chance = f"{row['chance1']:.0%}, {row['chance3']:.0%}"
        rows.append((row["encoder"], row["queries"], str(row["n"]), *shares, chance))
    for queries, share in results["paper"].items():
        rows.append(("CLIP ViT-H-14, as printed in the paper", queries, "100", f"{share:.0%}", "-", "-", "-"))
    note = "The paper's pictures are others (10 characters x 10 images of comics): for orientation."
    if any(row["random_weights"] for row in results["rows"]):
        note += "\n\nRandom weights: such rows test the machinery and say nothing of CLIP."
    headings = ("encoder", "queries", "pictures", "top-1", "95 %", "top-3", "by chance (1, 3)")
    return Grid(headings, tuple(rows), texts=2, note=note).markdown()


def _interval(successes: int, trials: int) -> list[float]:
    """The 95 % score interval of a share (Wilson 1927): sound near 0 and 1, where most accuracies lie."""
    found = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return [float(found.low), float(found.high)]


def _numbers(accuracy: Accuracy) -> Row:
    n = len(accuracy.hits)
    return {
        "n": n,
        "top1": accuracy.top1 / n,
        "top1_interval": _interval(accuracy.top1, n),
        "top3": accuracy.top3 / n,
        "top3_interval": _interval(accuracy.top3, n),
        "chance1": accuracy.chance[0],
        "chance3": accuracy.chance[1],
        "characters": accuracy.by_character(),
    }
