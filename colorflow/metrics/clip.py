"""The image towers of open_clip, filled and with their preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from colorflow.metrics.weights import MissingWeightsError, WrongWeightsError, clip_file
from colorflow.utils.seeding import fixed_draws


def clip_tower(model: str, pretrained: str, weights: Path | None) -> Any:
    """Build an open_clip model, fill it, keep the image tower.

    Args:
        model: open_clip's name.
        pretrained: Its tag.
        weights: Folder to look for ``<model>-<pretrained>.{safetensors,bin}`` in before open_clip's own cache.

    Raises:
        MissingWeightsError, WrongWeightsError: Where weights cannot be had, or are others.
        ValueError: For an unknown model or tag.
    """
    import open_clip

    if model not in open_clip.list_models():
        raise ValueError(f"CLIP: expected an open_clip model name, got {model!r}; the paper's is ViT-H-14")
    source = clip_file(model, pretrained, weights)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if source == pretrained and pretrained not in tags:
        raise ValueError(f"CLIP: expected a tag of {model} ({', '.join(tags) or 'it has none'}), got {pretrained!r}")
    try:
        with _quiet(), fixed_draws():
            return open_clip.create_model(model, pretrained=source, require_pretrained=True).visual
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        if source != pretrained:
            raise WrongWeightsError(f"{source}: expected weights of open_clip {model}; {reason}") from error
        raise MissingWeightsError(
            f"weights {pretrained} of open_clip {model} cannot be had ({reason}); put them as "
            f"{model}-{pretrained}.safetensors (or .bin) into metrics.weights_dir, or into the Hugging Face cache"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from reporting what is reported here, in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def clip_pixels(tower: Any, resize: str) -> Callable[[Image.Image], Tensor]:
    """The tower's own preprocessing (bicubic, antialiased, CLIP's mean and deviation) with this resize rule."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    preprocess: Callable[[Image.Image], Tensor] = image_transform_v2(
        PreprocessCfg(**(tower.preprocess_cfg | {"resize_mode": resize})), is_train=False
    )
    return preprocess
