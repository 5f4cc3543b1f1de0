"""The published networks behind FID, KID, CLIP-IS, AS and LPIPS, each with the preprocessing it is defined by."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from colorflow.metrics.aesthetic_head import AestheticScorer, load_head
from colorflow.metrics.networks import PageNetwork, pixels
from colorflow.metrics.random_weights import calibration_pictures, fill_randomly
from colorflow.metrics.weights import (
    INCEPTION,
    MissingWeightsError,
    WrongWeightsError,
    alexnet_file,
    clip_file,
    find_weights,
    load_state,
)
from colorflow.utils.seeding import fixed_draws
from colorflow.utils.tensors import digest_weights

ClipResize = Literal["squash", "centre_crop"]
FidResize = Literal["clean", "legacy"]

INCEPTION_SIDE = 299
AESTHETIC_CLIP = ("ViT-L-14-quickgelu", "openai")

Device = torch.device | str


def inception(
    weights: Path | None = None,
    *,
    resize: FidResize = "clean",
    random: bool = False,
    device: Device = "cpu",
    batch_size: int = 8,
) -> PageNetwork:
    """The FID Inception (TensorFlow port, the 2,048 features of the last pooling).

    Args:
        weights: Folder to look for the weights in.
        resize: ``clean`` squashes to 299 x 299 as clean-fid does (bicubic, antialiased, not rounded), ``legacy``
            as torch-fidelity does (TensorFlow 1's bilinear, aliased).
        random: Random weights, the same in every process; nothing is loaded.
        device: Where it runs.
        batch_size: Pages a forward pass.

    Raises:
        MissingWeightsError, WrongWeightsError: As ``find_weights``.
        ValueError: For another resize rule.
    """
    prepares: dict[str, Callable[..., Tensor]] = {"clean": _clean_pixels, "legacy": _legacy_pixels}
    if resize not in prepares:
        raise ValueError(f"fid_resize: expected one of {', '.join(prepares)}, got {resize!r}")
    network = _fidelity_inception(None if random else load_state(find_weights(INCEPTION, weights)))
    digest, name = digest_weights(network), f"inception-2048-{resize}"
    module = _Inception(network)
    return PageNetwork(name, prepares[resize], module, digest, torch.device(device), batch_size, random)


def clip(
    model: str = "ViT-H-14",
    pretrained: str = "laion2b_s32b_b79k",
    weights: Path | None = None,
    *,
    resize: ClipResize = "squash",
    random: bool = False,
    device: Device = "cpu",
    batch_size: int = 8,
) -> PageNetwork:
    """The image tower of an open_clip model in float32; it answers with its projection output, not normalized.

    Args:
        model: open_clip's name; the default is the paper's (supplement).
        pretrained: open_clip's tag.
        weights: Folder to look for ``<model>-<pretrained>.{safetensors,bin}`` in before open_clip's own cache.
        resize: ``squash`` shows the whole page; ``centre_crop`` is CLIP's own and cuts 36 % of a 512 x 800 page.
        random: Random weights, the same in every process; nothing is loaded.
        device: Where it runs.
        batch_size: Pages a forward pass.

    Raises:
        MissingWeightsError, WrongWeightsError: Where weights cannot be had, or are others.
        ValueError: For an unknown model or resize rule.
    """
    if resize not in ("squash", "centre_crop"):
        raise ValueError(f"clip_resize: expected squash or centre_crop, got {resize!r}")
    tower = _clip_tower(model, None if random else pretrained, weights)
    name = f"open_clip-{model}-{'' if random else pretrained + '-'}{resize}"
    prepare = _clip_pixels(tower, "squash" if resize == "squash" else "shortest")
    return PageNetwork(name, prepare, tower, digest_weights(tower), torch.device(device), batch_size, random)


def aesthetic_predictor(
    weights: Path | None = None, *, random: bool = False, device: Device = "cpu", batch_size: int = 8
) -> PageNetwork:
    """LAION's aesthetic predictor: OpenAI's ViT-L/14, CLIP's own resize and crop, and the head; answers ``(B, 1)``.

    Args:
        weights: Folder to look for the head and the tower in.
        random: Random weights, the same in every process; nothing is loaded.
        device: Where it runs.
        batch_size: Pages a forward pass.

    Raises:
        MissingWeightsError, WrongWeightsError: Where weights cannot be had, or are others.
    """
    head = load_head(weights, random=random)
    model, pretrained = AESTHETIC_CLIP
    tower = _clip_tower(model, None if random else pretrained, weights)
    scorer, prepare = AestheticScorer(tower, head), _clip_pixels(tower, "shortest")
    name = "aesthetic-sac+logos+ava1-l14-linearMSE"
    return PageNetwork(name, prepare, scorer, digest_weights(scorer), torch.device(device), batch_size, random)


def lpips_network(
    weights: Path | None = None, *, random: bool = False, device: Device = "cpu", batch_size: int = 8
) -> PageNetwork:
    """LPIPS 0.1 on AlexNet (Zhang et al. 2018) over pairs of pages; answers ``(B, 1)``.

    The calibrated linear weights come with the lpips package, AlexNet's from torchvision.

    Args:
        weights: Folder to look for AlexNet's weights in.
        random: A random AlexNet, the same in every process; nothing is loaded.
        device: Where it runs.
        batch_size: Pairs a forward pass.

    Raises:
        MissingWeightsError, WrongWeightsError: As ``find_weights``.
    """
    module = _Lpips(None if random else load_state(find_weights(alexnet_file(), weights)))
    return PageNetwork(
        "lpips-0.1-alex", _pair_pixels, module, digest_weights(module), torch.device(device), batch_size, random
    )


class _Inception(nn.Sequential):
    """The layers of torch-fidelity's Inception up to the pooled features, without its resize.

    Batch norms are folded into their convolutions and planes come last: the same features to 1e-6 of their
    size, about 1.5 times as fast on a CPU (``perf/metrics.py``).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(*_feature_layers(network))
        for block in list(self.modules()):
            if isinstance(conv := getattr(block, "conv", None), nn.Conv2d):
                block.conv = nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), cast(nn.BatchNorm2d, block.bn).eval())
                block.bn = nn.Identity()
        self.to(memory_format=torch.channels_last)

    def forward(self, levels: Tensor) -> Tensor:
        """Return ``(B, 2048)`` of ``(B, 3, 299, 299)`` in [0, 255]."""
        features: Tensor = super().forward(((levels - 128) / 128).contiguous(memory_format=torch.channels_last))
        return features


class _Lpips(nn.Module):
    """LPIPS over ``(B, 2, 3, H, W)`` in [0, 1]."""

    def __init__(self, state: dict[str, Tensor] | None) -> None:
        super().__init__()
        from lpips import LPIPS

        with warnings.catch_warnings(), fixed_draws():
            warnings.simplefilter("ignore", UserWarning)  # lpips 0.1.4 builds AlexNet by torchvision's older spelling
            self.network = LPIPS(net="alex", pnet_rand=True, verbose=False)
        if state is not None:
            # The package cuts torchvision's ``features`` into slices and keeps the layers' numbers.
            names = self.network.net.state_dict()
            self.network.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in names})

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ``(B, 1)``."""
        distances: Tensor = self.network(pairs[:, 0], pairs[:, 1], normalize=True)
        return distances.flatten(1)


def _fidelity_inception(state: dict[str, Any] | None) -> nn.Module:
    """Build torch-fidelity's network and fill it, strictly; its constructor would fetch weights by itself."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unfilled(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Take nothing of what the constructor reads."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with fixed_draws():
        network: nn.Module = Unfilled("inception", ["2048"], nothing)
    if state is None:
        fill_randomly(network, _feature_layers(network), calibration_pictures())
    else:
        nn.Module.load_state_dict(network, state, strict=True)
    return network.eval()


def _feature_layers(network: nn.Module) -> nn.Sequential:
    """torch-fidelity's layers up to the pooled features, which end before ``fc``."""
    return nn.Sequential(*(layer for name, layer in network.named_children() if name != "fc"), nn.Flatten())


def _clip_tower(model: str, pretrained: str | None, weights: Path | None) -> Any:
    """Build an open_clip model, fill it, keep the image tower."""
    import open_clip

    if model not in open_clip.list_models():
        raise ValueError(f"CLIP: expected an open_clip model name, got {model!r}; the paper's is ViT-H-14")
    source = clip_file(model, pretrained, weights) if pretrained else None
    tags = open_clip.list_pretrained_tags_by_model(model)
    if source is not None and source == pretrained and pretrained not in tags:
        raise ValueError(f"CLIP: expected a tag of {model} ({', '.join(tags) or 'it has none'}), got {pretrained!r}")
    try:
        with _quiet(), fixed_draws():
            return open_clip.create_model(model, pretrained=source, require_pretrained=source is not None).visual
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        if source is not None and source != pretrained:
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


def _clip_pixels(tower: Any, resize: str) -> Callable[[Image.Image], Tensor]:
    """The tower's own preprocessing (bicubic, antialiased, CLIP's mean and deviation) with this resize rule."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    preprocess: Callable[[Image.Image], Tensor] = image_transform_v2(
        PreprocessCfg(**(tower.preprocess_cfg | {"resize_mode": resize})), is_train=False
    )
    return preprocess


def _clean_pixels(page: Image.Image) -> Tensor:
    """Squash to 299 x 299, channel by channel in float, as clean-fid does."""
    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    planes = [np.asarray(band.convert("F").resize(side, Image.Resampling.BICUBIC)) for band in page.split()]
    return torch.from_numpy(np.stack(planes).clip(0, 255))


def _legacy_pixels(page: Image.Image) -> Tensor:
    """Squash to 299 x 299 as TensorFlow 1 did."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    squashed: Tensor = interpolate_bilinear_2d_like_tensorflow1x(pixels(page)[None], size=side, align_corners=False)
    return squashed[0]


def _pair_pixels(first: Image.Image, second: Image.Image) -> Tensor:
    return torch.stack((pixels(first), pixels(second))) / 255
