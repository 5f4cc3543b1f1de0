"""What is to be measured, as ``configs/metrics`` says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from colorflow.metrics.spec import MetricSpec, find_metric

ClipResize = Literal["squash", "centre_crop"]
FidResize = Literal["clean", "legacy"]

FREE_METRICS = ("psnr", "ssim", "chroma_psnr", "ciede2000", "color_identity")
"""What is measured where nothing else is asked for; the digest of the protocol covers their definitions."""


@dataclass(frozen=True)
class MetricSettings:
    """What is to be measured, and by which weights; docs/metrics.md has the definitions.

    Attributes:
        names: Of metrics, as ``find_metric`` takes them, in the order of results.json.
        weights_dir: Folder to look for weights in before the caches of torch and Hugging Face.
        strict: Missing weights are an error; False leaves their metrics out, with a line that says how to get them.
        clip_model: open_clip's name of the model of CLIP-IS (the paper's supplement names ViT-H-14).
        clip_pretrained: Its tag.
        clip_resize: ``squash`` shows the whole page; ``centre_crop`` is CLIP's own and cuts 36 % of a 512 x 800 page.
        fid_resize: ``clean`` squashes to 299 x 299 as clean-fid does (bicubic, antialiased, not rounded), ``legacy`` as
            torch-fidelity does (TensorFlow 1's bilinear, aliased).
        device: ``auto`` takes the GPU where there is one.
        batch_size: Pages a forward pass.
    """

    names: Sequence[str] = FREE_METRICS
    weights_dir: str | None = None
    strict: bool = False
    clip_model: str = "ViT-H-14"
    clip_pretrained: str = "laion2b_s32b_b79k"
    clip_resize: ClipResize = "squash"
    fid_resize: FidResize = "clean"
    device: str = "auto"
    batch_size: int = 8

    def __post_init__(self) -> None:
        """Check the names."""
        keys = [spec.key for spec in self.specs]
        if len(set(keys)) < len(keys) or not keys:
            raise ValueError(f"metrics.names: expected metrics, each key once, got {list(self.names)}")

    @cached_property
    def specs(self) -> tuple[MetricSpec, ...]:
        """The metrics, in the order of the names."""
        return tuple(map(find_metric, self.names))

    @property
    def folder(self) -> Path | None:
        """``weights_dir`` as a path."""
        return None if self.weights_dir is None else Path(self.weights_dir)

    @property
    def place(self) -> torch.device:
        """Where networks run."""
        found = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(found if self.device == "auto" else self.device)
