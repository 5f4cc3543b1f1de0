"""Where a metric's network weights come from: a given folder, torch's cache, or the network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from colorflow.utils.hashing import digest_file
from colorflow.utils.log import get_logger
from colorflow.utils.tensors import MissingWeightsError

logger = get_logger(__name__)


class WrongWeightsError(ValueError):
    """A file of the right name whose contents are not the published ones, or do not fit the network."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file.

    Attributes:
        name: Its file name.
        url: Where it is published.
        sha256: Its SHA-256, or the first digits of it where its publisher gives no more.
    """

    name: str
    url: str
    sha256: str


INCEPTION = WeightsFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
"""The TensorFlow Inception of 2015 in PyTorch, as torch-fidelity publishes it."""

AESTHETIC_HEAD = WeightsFile(
    "sac+logos+ava1-l14-linearMSE.pth",
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/sac%2Blogos%2Bava1-l14-linearMSE.pth",
    "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
)
"""LAION's improved aesthetic predictor."""

_CLIP_SHA256 = {
    "ViT-H-14-laion2b_s32b_b79k.bin": "9a78ef8e8c73fd0df621682e7a8e8eb36c6916cb3c16b291a082ecd52ab79cc4",
}
"""Digests of published files under the names that ``clip_file`` asks for."""


def alexnet_file() -> WeightsFile:
    """The ImageNet AlexNet under LPIPS, as torchvision publishes it (eight digits of its digest are its name's)."""
    from torchvision.models import AlexNet_Weights

    url = AlexNet_Weights.IMAGENET1K_V1.url
    name = url.rpartition("/")[2]
    return WeightsFile(name, url, Path(name).stem.rpartition("-")[2])


def find_weights(file: WeightsFile, folder: Path | None = None) -> Path:
    """Return a file's path: in the folder, in torch's cache, or there after a download.

    Args:
        file: What to look for.
        folder: ``metrics.weights_dir``; None: the cache alone.

    Raises:
        MissingWeightsError: Where it is in neither, and cannot be downloaded (or may not: ``HF_HUB_OFFLINE=1``).
        WrongWeightsError: For a file of that name with another digest.
    """
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for place in (folder, cache):
        if place is not None and (path := place / file.name).is_file():
            _check_digest(path, file.sha256)
            return path
    remedy = f"download {file.url} and put it as {file.name} into metrics.weights_dir"
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise MissingWeightsError(f"{file.name} is not on this machine, which is set offline; {remedy}")
    target = (folder or cache) / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    logger.info("downloading %s to %s", file.url, target.parent)
    try:
        torch.hub.download_url_to_file(file.url, str(target), hash_prefix=file.sha256, progress=False)
    except OSError as error:
        raise MissingWeightsError(f"{file.name} could not be downloaded ({_short(error)}); {remedy}") from error
    except RuntimeError as error:  # what torch raises where the digest differs
        raise WrongWeightsError(f"{file.name}: {_short(error)}; {remedy}") from error
    return target


def clip_file(model: str, pretrained: str, folder: Path | None) -> str:
    """Return what open_clip is to load: a file ``<model>-<pretrained>.{safetensors,bin}`` of the folder, or the tag.

    Raises:
        WrongWeightsError: For a file whose digest is known and differs.
    """
    for suffix in (".safetensors", ".bin") if folder is not None else ():
        path = Path(folder or "") / f"{model}-{pretrained}{suffix}"
        if path.is_file():
            _check_digest(path, _CLIP_SHA256.get(path.name, ""))
            return str(path)
    return pretrained


def load_state(path: Path) -> dict[str, Any]:
    """Read a state dict on the CPU, without running code that a pickle may hold."""
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_digest(path: Path, expected: str) -> None:
    got = digest_file(path) if expected else ""
    if not got.startswith(expected):
        raise WrongWeightsError(
            f"{path}: expected SHA-256 {expected[:16]}..., got {got[:16]}...; remove the file and download it again"
        )


def _short(error: object) -> str:
    return " ".join(str(error).split())[:200]
