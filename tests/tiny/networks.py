"""Networks and weight files for tests of metrics: random, small, and in the published layouts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import open_clip
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from colorflow.metrics import inception, weights
from colorflow.metrics.catalog import aesthetic, lpips
from colorflow.metrics.weights import WeightsFile


def pages(count: int, size: tuple[int, int] = (40, 56), seed: int = 0) -> Tensor:
    """``(N, 3, H, W)`` float64 random pages of 8-bit levels in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size[::-1], mode="bilinear")
    noisy = smooth + 0.1 * torch.rand(smooth.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).round().double() / 255


def publish(monkeypatch, name: str, path: Path, *modules) -> WeightsFile:
    """Declare the file at ``path`` to be the published one, in ``weights`` and in modules that imported it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = WeightsFile(path.name, f"https://example.org/{path.name}", digest)
    for module in (weights, *modules):
        monkeypatch.setattr(module, name, file)
    return file


def published_head_state(seed: int = 0) -> dict[str, Tensor]:
    """A state of the key names and shapes of the published aesthetic head."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {0: (1024, 768), 2: (128, 1024), 4: (64, 128), 6: (16, 64), 7: (1, 16)}
    state = {}
    for place, shape in shapes.items():
        state[f"layers.{place}.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        state[f"layers.{place}.bias"] = torch.randn(shape[0], generator=generator)
    return state


TINY_CLIP = "tiny-clip-768"


def register_tiny_clip(folder: Path) -> str:
    """Teach open_clip a tiny model with OpenAI's ViT-L/14 embedding width; return its name."""
    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    path = folder / f"{TINY_CLIP}.json"
    path.write_text(json.dumps({"embed_dim": 768, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return TINY_CLIP


def write_weights(folder: Path, monkeypatch) -> None:
    """Write a file of each published name into the folder, random contents, and declare them to be right."""
    folder.mkdir()
    model = register_tiny_clip(folder)
    clip = open_clip.create_model(model).state_dict()
    for tag in ("laion", "openai"):
        save_file({key: value.contiguous() for key, value in clip.items()}, folder / f"{model}-{tag}.safetensors")
    monkeypatch.setattr(aesthetic, "AESTHETIC_CLIP", (model, "openai"))
    torch.save(published_head_state(), folder / weights.AESTHETIC_HEAD.name)
    publish(monkeypatch, "AESTHETIC_HEAD", folder / weights.AESTHETIC_HEAD.name, aesthetic)
    torch.save(inception.fidelity_inception(None).state_dict(), folder / weights.INCEPTION.name)
    publish(monkeypatch, "INCEPTION", folder / weights.INCEPTION.name, inception)
    write_alexnet(folder, monkeypatch)


def write_alexnet(folder: Path, monkeypatch) -> Path:
    """Write a random AlexNet under its published name and declare it to be right; return the folder."""
    alexnet = folder / weights.alexnet_file().name
    features = torchvision.models.alexnet(weights=None).features.state_dict()
    torch.save({f"features.{key}": value for key, value in features.items()}, alexnet)
    file = WeightsFile(alexnet.name, "", hashlib.sha256(alexnet.read_bytes()).hexdigest()[:8])
    monkeypatch.setattr(lpips, "alexnet_file", lambda: file)
    return folder
