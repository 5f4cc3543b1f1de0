"""What makes two numbers comparable: sizes, the resize rule, and metrics with the networks they need."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from typing import Any, Literal

from PIL import Image

from colorflow.canvas import STRETCH_LIMIT, fit_page
from colorflow.evaluation.bench.benchmark import PROTOCOL_VERSION, Benchmark
from colorflow.metrics import (
    FREE_METRICS,
    Column,
    MetricSettings,
    MetricSpec,
    MissingWeightsError,
    PageNetwork,
    find_metric,
    is_ours,
)
from colorflow.metrics.catalog.ssim import SsimWindow, check_window
from colorflow.utils.hashing import digest_json
from colorflow.utils.log import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True)
class Suite:
    """The metrics that can be had, with their networks.

    Attributes:
        specs: In the order of the settings' names.
        networks: By key of a metric; metrics may share one.
        skipped: Metric -> why it is left out.
    """

    specs: tuple[MetricSpec, ...] = MetricSettings().specs
    networks: Mapping[str, PageNetwork] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """As JSON, for the protocol: what was measured by which weights, what was left out.

        ``columns``, where there are any, tell a report how to show metrics of other packages.
        """
        networks = {
            spec.key: {"id": network.id, "weights_sha256": network.digest}
            for spec in self.specs
            if (network := self.networks.get(spec.key))
        }
        others = {spec.key: _column(spec) for spec in self.specs if not is_ours(spec)}
        return {
            "metrics": [spec.key for spec in self.specs],
            "networks": networks,
            "skipped": dict(self.skipped),
            "definitions": {spec.key: spec.definition for spec in self.specs},
            **({"columns": others} if others else {}),
        }


def _column(spec: MetricSpec) -> dict[str, Any]:
    return asdict(Column(**{item.name: getattr(spec, item.name) for item in fields(Column)}))


def build_suite(settings: MetricSettings) -> Suite:
    """Load what the settings ask for.

    Raises:
        MissingWeightsError: Where weights cannot be had and ``strict`` is set.
        WrongWeightsError: For weights that are not the published ones.
        ValueError: For an unknown model or resize rule.
    """
    networks: dict[str, PageNetwork] = {}
    skipped: dict[str, str] = {}
    for build in dict.fromkeys(spec.network for spec in settings.specs if spec.network is not None):
        asked = [spec.key for spec in settings.specs if spec.network is build]
        try:
            networks |= dict.fromkeys(asked, build(settings))
        except MissingWeightsError as error:
            if settings.strict:
                raise MissingWeightsError(f"{', '.join(asked)}: {error}") from error
            logger.warning("%s left out: %s", ", ".join(asked), error)
            skipped |= dict.fromkeys(asked, str(error))
    return Suite(tuple(spec for spec in settings.specs if spec.key not in skipped), networks, skipped)


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
