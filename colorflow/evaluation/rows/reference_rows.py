"""Other systems that look at references, as rows: EBMC, ScreenVAE colorization, and two that need no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from colorflow.baselines import ColorTransfer, PatchCopy
from colorflow.baselines.ebmc import EbmcColorizer, EbmcNetworks, load_ebmc
from colorflow.baselines.screenvae import Code, ScreenToColor, ScreenVAEColorizer, load_screen_to_color
from colorflow.baselines.weights import find_device
from colorflow.evaluation.bench.benchmark import References
from colorflow.evaluation.rows.specs import MethodSpec
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings, build_encoder
from colorflow.schema import Colorizer
from colorflow.utils.hashing import digest_file, digest_json

Rows = Mapping[str, MethodSpec]


def ebmc_rows(
    weights: str | None,
    retrieval: RetrievalSettings,
    references: References = "own",
    size: int = 256,
    panels: bool = False,
    device: str = "auto",
    name: str = "ebmc",
) -> Rows:
    """The row of EBMC.

    Args:
        weights: The authors' file.
        retrieval: Finds the one reference.
        references: Which pool the row gets.
        size: Side of the square that page and reference are squashed to.
        panels: As for `EbmcColorizer`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For a file that does not hold exactly these networks.
        ValueError: For options that cannot be.
    """

    def load() -> EbmcNetworks:
        with torch.device("meta"):
            networks = EbmcNetworks()
        return load_ebmc(weights, networks)

    load()  # now: a wrong file is told before anything is coloured
    settings = {"weights": digest_file(str(weights)), "size": size, "panels": panels}

    def build(retriever: SimilarityRetriever) -> Colorizer:
        return EbmcColorizer(load(), retriever, find_device(device), size, panels, name)

    return _row(name, build, references, retrieval, settings)


def screenvae_rows(
    weights: str | None,
    retrieval: RetrievalSettings,
    references: References = "own",
    code: Code = "reference",
    draws: str = "official",
    height: int | None = None,
    device: str = "auto",
    name: str = "screenvae",
) -> Rows:
    """The row of ScreenStyle's way from manga to colour.

    Args:
        weights: The released ColorFlow folder (its ``ScreenStyle`` and ``LE`` parts).
        retrieval: Finds the page whose style code is taken.
        references: Which pool the row gets.
        code: As for `ScreenVAEColorizer`.
        draws: As for `ScreenVAEColorizer`.
        height: As for `ScreenVAEColorizer`.
        device: ``auto`` takes the GPU where there is one.
        name: Row name.

    Raises:
        CheckpointError: For files that do not hold exactly these networks.
    """
    digests = load_screen_to_color(weights, ScreenToColor())  # now, as above
    settings = {"weights": digests, "code": code, "draws": draws, "height": height}

    def build(retriever: SimilarityRetriever) -> Colorizer:
        networks = ScreenToColor()
        load_screen_to_color(weights, networks)
        return ScreenVAEColorizer(networks.to(find_device(device)), retriever, code, draws, height, name)

    return _row(name, build, references, retrieval, settings)


def color_transfer_rows(
    retrieval: RetrievalSettings, references: References = "own", name: str = "color_transfer"
) -> Rows:
    """The row of `ColorTransfer`, which needs no weights."""
    return _row(name, lambda retriever: ColorTransfer(retriever, name), references, retrieval, {})


def patch_copy_rows(
    retrieval: RetrievalSettings,
    references: References = "own",
    neighbours: int = 16,
    side: int = 256,
    name: str = "patch_copy",
) -> Rows:
    """The row of `PatchCopy`, which needs no weights; options as there."""
    settings = {"neighbours": neighbours, "side": side}
    return _row(name, lambda retriever: PatchCopy(retriever, neighbours, side, name), references, retrieval, settings)


def _row(
    name: str,
    build: Callable[[SimilarityRetriever], Colorizer],
    references: References,
    retrieval: RetrievalSettings,
    settings: Mapping[str, Any],
) -> Rows:
    """A row whose method compares pages by the encoder that is configured."""
    how = {key: value for key, value in asdict(retrieval).items() if key not in ("device", "folder")}
    if retrieval.folder is not None:
        files = sorted(path for path in Path(retrieval.folder).rglob("*") if path.is_file())
        how["folder"] = [digest_file(path) for path in files]

    def make() -> Colorizer:
        return build(SimilarityRetriever(build_encoder(replace(retrieval, device=str(find_device(retrieval.device))))))

    return {name: MethodSpec(make, references, digest_json([name, how, settings]))}
