"""Image encoders for retrieval, each a `PatchEncoder`: CLIP by open_clip or transformers, and HOG without download.

Both CLIP encoders resize the shortest edge bicubically with Pillow and crop the centre, as the released code does: the
outer edges of a page that is not square are not seen (released-code facts, 2.3 and 6.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage.feature import hog
from torch import Tensor, nn

from colorflow.utils.seeding import fixed_draws
from colorflow.utils.tensors import MissingWeightsError, check_loaded, digest_weights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_REMEDY = "use retrieval=hog, which needs no download, or a local folder or Hugging Face cache that holds the weights"
# What else a folder of a complete CLIP model may hold besides the vision tower.
_OTHER_CLIP_KEYS = ("text_model.", "text_projection.", "logit_scale")


class _TowerEncoder:
    """Runs a frozen image tower over any number of images, a batch at a time.

    Attributes:
        tower: The network itself, to be counted or moved.
    """

    def __init__(
        self, tower: nn.Module, preprocess: Callable[[Image.Image], Tensor], device: str, dtype: str, batch_size: int
    ) -> None:
        if dtype not in _DTYPES:
            raise ValueError(f"image encoder: expected a dtype of {sorted(_DTYPES)}, got {dtype!r}")
        if batch_size < 1:
            raise ValueError(f"image encoder: expected a batch_size of at least 1, got {batch_size}")
        self._digest = digest_weights(tower)
        self._suffix = "" if dtype == "float32" else f"-{dtype}"
        self.tower = tower.to(device=device, dtype=_DTYPES[dtype]).eval().requires_grad_(False)
        self._preprocess = preprocess
        self._device, self._dtype, self._batch_size = torch.device(device), _DTYPES[dtype], batch_size

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return ``(N, D)`` float32 embeddings, not normalized."""
        if not images:
            raise ValueError("image encoder: expected at least one image, got none")
        starts = range(0, len(images), self._batch_size)
        return torch.cat([self._forward(images[start : start + self._batch_size]) for start in starts])

    def _forward(self, images: Sequence[Image.Image]) -> Tensor:
        pixels = torch.stack([self._preprocess(image.convert("RGB")) for image in images])
        output = self.tower(pixels.to(self._device, self._dtype))
        pooled = output[0] if isinstance(output, tuple) else output  # CoCa towers return their tokens too
        return pooled.float().cpu()


class OpenClipEncoder(_TowerEncoder):
    """The image tower of any open_clip model, with that model's own preprocessing.

    Args:
        model: An open_clip model name; the default is the paper's (supplement).
        pretrained: A tag of that model or a checkpoint file; None for random weights, the same in every process.
        device: Where the tower runs.
        dtype: "float32", "bfloat16" or "float16", of weights and pixels.
        batch_size: Images a forward pass.

    Raises:
        ValueError: For a model, tag or dtype that does not exist.
        MissingWeightsError: Where the weights cannot be had.
    """

    def __init__(
        self,
        model: str = "ViT-H-14",
        pretrained: str | None = "laion2b_s32b_b79k",
        device: str = "cpu",
        dtype: str = "float32",
        batch_size: int = 64,
    ) -> None:
        from open_clip import list_pretrained_tags_by_model
        from open_clip.transform import PreprocessCfg, image_transform_v2  # seconds to import: only where it is used

        tower = _open_clip_tower(model, pretrained)
        preprocess = image_transform_v2(PreprocessCfg(**tower.preprocess_cfg), is_train=False)
        super().__init__(tower, preprocess, device, dtype, batch_size)
        weights = pretrained if pretrained in list_pretrained_tags_by_model(model) else self._digest
        self.name = f"open_clip-{model}-{weights}{self._suffix}"


class ClipVisionEncoder(_TowerEncoder):
    """A transformers ``CLIPVisionModelWithProjection`` folder, the form of the released weights.

    Args:
        path: Folder with ``config.json`` and weights (of the vision model, or of a whole CLIP model).
        device: Where the model runs.
        dtype: "float32", "bfloat16" or "float16", of weights and pixels.
        batch_size: Images a forward pass.

    Raises:
        MissingWeightsError: Where the folder or its weights are missing.
        ValueError: For weights that do not fill the model, and for a dtype that does not exist.
    """

    def __init__(self, path: str | Path, device: str = "cpu", dtype: str = "float32", batch_size: int = 64) -> None:
        model = _load_clip_vision(Path(path))
        super().__init__(_ImageEmbeds(model), _clip_preprocess(model.config.image_size), device, dtype, batch_size)
        self.name = f"clip_vision-{self._digest}{self._suffix}"


class HogEncoder:
    """Histograms of oriented gradients of the luminance: sees outlines, not colours; no weights.

    Args:
        size: Side in pixels that every image is resized to, a multiple of 8; the cells stay 8 x 8.

    Raises:
        ValueError: For a size that is not a multiple of 8, or under 16.
    """

    def __init__(self, size: int = 64) -> None:
        if size < 16 or size % 8:
            raise ValueError(f"HogEncoder: expected a size that is a multiple of 8 and at least 16, got {size}")
        self.size = size
        self.name = f"hog-{size}"

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return ``(N, D)`` float32 features."""
        if not images:
            raise ValueError("HogEncoder: expected at least one image, got none")
        return torch.from_numpy(np.stack([self._features(image) for image in images]))

    def _features(self, image: Image.Image) -> np.ndarray:
        gray = image.convert("L").resize((self.size, self.size), Image.Resampling.BICUBIC)
        features = hog(np.asarray(gray), orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2))
        return features.astype(np.float32)


class _ImageEmbeds(nn.Module):
    """A transformers vision model that returns its embeddings alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """Return ``(B, D)`` of ``(B, 3, H, W)``."""
        return self.model(pixel_values=pixels).image_embeds


def _open_clip_tower(model: str, pretrained: str | None) -> Any:
    """Build a model, load its weights, keep the image tower."""
    import open_clip

    if ":" not in model:  # a name, not one of open_clip's "hf-hub:" and "local-dir:" schemas
        if model not in open_clip.list_models():
            raise ValueError(
                f"retrieval encoder: expected an open_clip model name, got {model!r}; "
                "`open_clip.list_models()` lists them, the paper's is ViT-H-14"
            )
        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained is not None and pretrained not in tags and not Path(pretrained).is_file():
            raise ValueError(
                f"retrieval encoder: expected a tag of {model} ({', '.join(tags) or 'it has none'}) "
                f"or a checkpoint file, got {pretrained!r}"
            )
    try:
        with fixed_draws():  # of random weights
            return open_clip.create_model(model, pretrained=pretrained).visual
    except (OSError, RuntimeError) as error:
        raise _missing(f"weights {pretrained} of open_clip model {model}", error) from error


def _load_clip_vision(path: Path) -> Any:
    from transformers import CLIPVisionModelWithProjection

    if not (path / "config.json").is_file():
        raise _missing("a CLIPVisionModelWithProjection folder with config.json and weights", f"nothing at {path}")
    try:
        # Typed loosely: the stubs know one return value, output_loading_info makes it two.
        loader: Any = CLIPVisionModelWithProjection.from_pretrained
        model, loaded = loader(path, local_files_only=True, output_loading_info=True)
    except OSError as error:
        raise _missing(f"weights in {path}", error) from error
    unexpected = [key for key in loaded["unexpected_keys"] if not key.startswith(_OTHER_CLIP_KEYS)]
    what = f"weights of a CLIPVisionModelWithProjection in {path}"
    check_loaded(model, {**loaded, "unexpected_keys": unexpected}, what, "check that config.json belongs to them")
    return model.float()


def _clip_preprocess(size: int) -> Callable[[Image.Image], Tensor]:
    """Return CLIP's default preprocessing by Pillow for a model of size x size pixels.

    In transformers 5 ``CLIPImageProcessor`` is torchvision's, and its pixels differ.
    """
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return lambda image: processor(image, return_tensors="pt").pixel_values[0]


def _missing(what: str, got: object) -> MissingWeightsError:
    """Say in one line what is missing and what to do."""
    reason = " ".join(str(got).split())
    return MissingWeightsError(f"retrieval encoder: expected {what}, got: {reason[:300]}; {_REMEDY}")
