"""What a metric is, in one object: harness, tables, reports and callbacks read all they need off it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from pkgutil import iter_modules, resolve_name
from typing import Any, Literal

import torch
from torch import Tensor

from colorflow.metrics.networks import PageNetwork, Side
from colorflow.metrics.pages import PagePair, check_shapes, page_pairs
from colorflow.utils.tensors import resolve_device

Sees = Literal["pair", "prediction", "set", "chapter"]

CATALOG = "colorflow.metrics.catalog"

LAST = 100
"""Place in tables of a metric that asks for none: after the paper's, in the order of the names."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """How a metric is shown.

    Attributes:
        key: Its name in results, an identifier.
        label: Heading.
        decimals: Digits after the point.
        higher_is_better: Direction.
        place: Tables are sorted by it; equal ones keep the order of the names.
        note: A sentence for the caption of tables.
    """

    key: str
    label: str
    decimals: int
    higher_is_better: bool
    place: int = LAST
    note: str = ""

    @property
    def arrow(self) -> str:
        """Up where more is better."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def heading(self) -> str:
        """Label and arrow."""
        return f"{self.label} {self.arrow}"

    def format(self, value: float) -> str:
        """The number with the metric's digits."""
        return "inf" if math.isinf(value) else f"{value:.{self.decimals}f}"


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Column):
    """A metric. A spec can be called on batches of pages, as ``colorflow.metrics.psnr(preds, target)``.

    Attributes:
        definition: In words, with the aggregate; results.json holds it.
        sees: ``pair``: a page and its truth, a value a page. ``prediction``: the page alone, a value a page. ``set``:
            all pages, one value. ``chapter``: the pages of a chapter, a value a chapter (NaN: this chapter has none).
        function: With a network: of its answers, ``(N, D)`` float32 for each of ``sides``, to ``(N,)``, for a set or
            chapter to a scalar. Without: of a `PagePair` to a float; for a set or chapter of the rows of ``page``
            of all its pages together, ``(R, C)`` float64 (``(0,)`` where there are none), to a scalar.
        page: Of a set or chapter without network: what a `PagePair` gives, ``(R, C)`` float64.
        network: Loads the network by the settings. Metrics with one function here share the network.
        options: Keywords of ``function`` that the protocol sets, as ``ssim_window``.
    """

    definition: str
    sees: Sees
    function: Callable[..., Any]
    page: Callable[[PagePair], Tensor] | None = None
    network: Callable[[MetricSettings], PageNetwork] | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what a new metric is easily written without."""
        whole = self.sees in ("set", "chapter")
        if not self.key.isidentifier() or (self.page is not None) != (whole and self.network is None):
            raise ValueError(
                f"metric {self.key!r}: expected an identifier as key, and page= for a set or chapter without network "
                f"and for nothing else, got sees={self.sees!r}"
            )

    @property
    def a_page(self) -> bool:
        """Whether each page has a value of its own."""
        return self.sees in ("pair", "prediction")

    def bound(self, values: Mapping[str, Any]) -> MetricSpec:
        """The same with its options, taken out of all ``values``."""
        options = {name: values[name] for name in self.options if name in values}
        return replace(self, function=partial(self.function, **options)) if options else self

    def sides(self, network: PageNetwork | None) -> tuple[Side, ...]:
        """What is looked at of a page."""
        if network is None or network.pairs:
            return ("pair",)
        return ("prediction",) if self.sees == "prediction" else ("prediction", "target")

    def of_page(self, pair: PagePair) -> Tensor:
        """What one page gives to a metric without network, ``(R, C)`` float64: its value, or the rows of ``page``."""
        if self.page is not None:
            return self.page(pair)
        return torch.tensor([[self.function(pair)]], dtype=torch.float64)

    def reduce(self, *answers: Tensor) -> Tensor:
        """Values of pages, ``(N,)``, or of the whole, a scalar; float64.

        Args:
            answers: Of each of ``sides``, ``(N, D)``: the network's, or what ``of_page`` gave.
        """
        if self.network is None and self.a_page:
            return answers[0][:, 0]
        return torch.as_tensor(self.function(*answers), dtype=torch.float64)

    def answers(self, preds: Tensor, target: Tensor | None, network: PageNetwork | None = None) -> list[list[Tensor]]:
        """What each page gives, by side and page: rows for ``reduce``; arguments and errors as for a call."""
        truth = preds if target is None and self.sees == "prediction" else target
        if truth is None:
            raise ValueError(f"{self.key}: expected the truth too, got none")
        if network is None:
            if self.network is not None:
                raise ValueError(f"{self.key}: expected its network, got none; give network=")
            return [[self.of_page(pair) for pair in page_pairs(preds, truth, self.key)]]
        if self.sees != "set":
            check_shapes(preds, truth, self.key)
        shown = {"pair": (preds, truth), "prediction": (preds,), "target": (truth,)}
        return [list(network(*shown[side])[:, None]) for side in self.sides(network)]

    def __call__(self, preds: Tensor, target: Tensor | None = None, network: PageNetwork | None = None) -> Tensor:
        """Measure a batch of pages.

        Args:
            preds: ``(B, 3, H, W)`` float in [0, 1], RGB; of a metric of chapters the pages of one.
            target: The same; a metric of predictions alone needs none.
            network: The one that the metric needs.

        Returns:
            Float64: ``(B,)``, of a set or chapter a scalar.

        Raises:
            TypeError: For integer tensors.
            ValueError: For shapes that differ or are not ``(B, 3, H, W)``, and values outside [0, 1].
        """
        return self.reduce(*(torch.cat(pages) for pages in self.answers(preds, target, network)))


@cache
def metric_names() -> tuple[str, ...]:
    """The names of the metrics that come with the package."""
    folder = Path(__file__).parent / "catalog"
    return tuple(module.name for module in iter_modules([str(folder)]))


def find_metric(name: str) -> MetricSpec:
    """The spec of a name as a config gives it.

    Args:
        name: A module of ``colorflow.metrics.catalog``; or a dotted name, ``package.module`` whose ``SPEC`` it is, or
            ``package.module:OBJECT``.

    Raises:
        ValueError: For a name that leads to no spec.
    """
    place = name if "." in name or ":" in name else f"{CATALOG}.{name}"
    known = (
        f"metrics.names: expected some of {', '.join(metric_names())}, or package.module with a MetricSpec named SPEC"
    )
    try:
        spec = resolve_name(place if ":" in place else f"{place}:SPEC")
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{known}, got {name!r} ({error})") from error
    if not isinstance(spec, MetricSpec):
        raise ValueError(f"{known}, got {name!r}, which is a {type(spec).__name__}")
    return spec


def is_ours(spec: MetricSpec) -> bool:
    """Whether the spec is that of its key in the catalog."""
    return spec.key in metric_names() and find_metric(spec.key) == spec


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
        return resolve_device(self.device)
