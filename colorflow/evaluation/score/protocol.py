"""The rules that make two numbers comparable: sizes, the resize rule, metric definitions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from PIL import Image

from colorflow.canvas import STRETCH_LIMIT, fit_page
from colorflow.evaluation.bench.benchmark import PROTOCOL_VERSION, Benchmark
from colorflow.evaluation.score.suite import Suite
from colorflow.metrics import FREE_METRICS, find_metric
from colorflow.metrics.catalog.ssim import SsimWindow, check_window
from colorflow.utils.hashing import digest_json

MetricSize = tuple[int, int] | Literal["native"]

RESIZE_RULE = (
    "prediction and truth go through one rule on 8-bit RGB: stretched to the metric size where their aspect is within "
    f"{STRETCH_LIMIT:.0%} of it, else centre-cropped to it first; Pillow bicubic (antialiased)"
)

_CROPPED_ASPECT_TOLERANCE = 0.02
"""How far a cropped prediction's aspect may be from the metric size's (rounding to multiples of 8 or so)."""


@dataclass(frozen=True)
class Protocol:
    """How a prediction and its truth become numbers.

    Attributes:
        metric_size: (width, height) both are brought to, or ``native``: the truth's own size.
            512 x 800 is the Cobra paper's protocol and ColorFlow's default page.
        ssim_window: As for ``colorflow.metrics.catalog.ssim``.
    """

    metric_size: MetricSize = (512, 800)
    ssim_window: SsimWindow = "uniform7"

    def __post_init__(self) -> None:
        """Check both."""
        size = self.metric_size
        if size != "native" and (len(size) != 2 or min(size) < 16):
            raise ValueError(f"metric_size: expected (width, height) of at least 16 pixels or 'native', got {size!r}")
        check_window(self.ssim_window)

    def describe(self) -> dict[str, Any]:
        """The rules as JSON, without versions."""
        return {
            "version": PROTOCOL_VERSION,
            "metric_size": self.metric_size if self.metric_size == "native" else list(self.metric_size),
            "resize": RESIZE_RULE,
            "ssim_window": self.ssim_window,
            "definitions": {name: find_metric(name).definition for name in FREE_METRICS},
        }

    @property
    def digest(self) -> str:
        """SHA-256 of ``describe``: numbers of equal digests, and by equal networks, are comparable on one benchmark."""
        return digest_json(self.describe())

    def fit(self, prediction: Image.Image, truth: Image.Image) -> tuple[Image.Image, Image.Image]:
        """Bring both to the metric size.

        Args:
            prediction: RGB, any size of the truth's aspect or of the metric size's.
            truth: RGB, native size.

        Raises:
            ValueError: For a prediction of another aspect: it does not show the page.
        """
        self._check_aspect(prediction.size, truth.size)
        size = truth.size if self.metric_size == "native" else self.metric_size
        return fit_page(prediction, size), fit_page(truth, size)

    def _check_aspect(self, size: tuple[int, int], truth: tuple[int, int]) -> None:
        got = size[0] / size[1]
        limits = [(truth, STRETCH_LIMIT)]
        if self.metric_size != "native":
            limits.append((self.metric_size, _CROPPED_ASPECT_TOLERANCE))
        if not any(abs(got * height / width - 1) < limit for (width, height), limit in limits):
            allowed = " or ".join(f"{width} x {height}" for (width, height), _ in limits)
            raise ValueError(
                f"expected a picture of the aspect of {allowed}, got {size[0]} x {size[1]}; is it this page, whole?"
            )


def describe_run(
    protocol: Protocol,
    benchmark: Benchmark,
    bootstrap: Mapping[str, Any],
    suite: Suite | None = None,
    paper_table: str | None = None,
) -> dict[str, Any]:
    """The ``protocol`` part of ``results.json``: rules, networks, benchmark, interval, versions, and what is beside."""
    packages = ("torch", "torchmetrics", "open_clip_torch", "torch-fidelity", "scikit-image", "pillow", "numpy")
    return {
        **protocol.describe(),
        **(suite or Suite()).describe(),
        "sha256": protocol.digest,
        "benchmark": {
            "name": benchmark.name,
            "sha256": benchmark.digest,
            "pages": len(benchmark.pages),
            "shape": benchmark.shape,
        },
        "intervals": dict(bootstrap),
        "paper_table": paper_table,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }
