"""Folders of full size through the command, out and back, bit for bit: 11 GB of disk, 5 GB of memory."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny.checkpoints import BIN, GSRP, LORA_FILE, SAFE
from tiny.models import pixart_on_meta, sd15_on_meta
from torch import Tensor, nn

from colorflow.checkpoints.parts import layouts
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.models.icp_model import ICPModel
from colorflow.pipelines.export import save_export
from colorflow.retrieval.settings import RetrievalSettings

ROOT = Path(__file__).resolve().parents[2]
MODELS: dict[str, Callable[[int], ICPModel]] = {"sd": sd15_on_meta, "pixart": pixart_on_meta}
MEMORY = 10 * 2**30
"""What a command may take, bytes: twice what was measured (4.9 GiB), under half of a machine of 24 GB."""

TENSORS = {"sd": (626, 320), "pixart": (226, 582)}
"""Of guider and LoRA (released code 8; 226 without the two aliases)."""


def fill(module: nn.Module, seed: int) -> None:
    """Give a module on the meta device random values; whole numbers stay small."""
    module.to_empty(device="cpu")
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.uniform_(-1, 1, generator=source) if tensor.is_floating_point() else tensor.fill_(seed)


def write_image_encoder(folder: Path) -> None:
    """CLIP-ViT-H-14, which the paper names."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        projection_dim=1024,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
    )
    with torch.device("meta"):
        encoder = CLIPVisionModelWithProjection(config).to(torch.bfloat16)
    fill(encoder, 4)
    encoder.save_pretrained(folder)


def write_ours(family: str, folder: Path) -> None:
    """An export folder as training writes it: guider in bfloat16, LoRA and super-resolution in float32."""
    model = copy.deepcopy(MODELS[family](9))
    model.source = next(layout.base for layout in layouts().values() if layout.lora_file == LORA_FILE[family])
    model.guider.to(torch.bfloat16)
    fill(model.guider, 1)
    for number, module in enumerate(module for module in model.network.modules() if hasattr(module, "lora_A")):
        fill(module.lora_A, 1000 + number)
        fill(module.lora_B, 2000 + number)
    with torch.device("meta"):
        fusion = FusionNetwork()
    fill(fusion, 3)
    save_export(model, folder, (512, 800), RetrievalSettings(), fusion)
    write_image_encoder(folder / "image_encoder")


def run(command: str, source: Path, target: Path) -> int:
    """Run the command; returns its peak memory in bytes."""
    arguments = [sys.executable, "-m", "colorflow.checkpoints", command, str(source), str(target)]
    process = subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def stored(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of everything in a file, one in memory at a time."""
    if file.suffix == ".bin":
        yield from torch.load(file, weights_only=True, mmap=True).items()
        return
    with safe_open(file, "pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118 (it is no mapping)
            yield key, tensors.get_tensor(key)


def same_bits(ours: Path, theirs: Path, rename: Callable[[str], str] = str) -> int:
    """Compare every tensor; returns how many there are."""
    expected, count = safe_open(ours, "pt"), 0
    for key, value in stored(theirs):
        own = expected.get_tensor(rename(key))
        assert (own.dtype, own.shape) == (value.dtype, value.shape), key
        assert torch.equal(own.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)), key
        count += 1
    assert {rename(key) for key, _ in stored(theirs)} == set(expected.keys())
    return count


@pytest.fixture
def folder() -> Iterator[Path]:
    """Removed at once: pytest would keep the folders of three runs."""
    place = Path(tempfile.mkdtemp(prefix="colorflow-full-size-"))
    yield place
    shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("family", list(MODELS))
def test_full_size_folders_come_back_bit_for_bit(family: str, folder: Path) -> None:
    if shutil.disk_usage(folder).free < 20 * 2**30:
        pytest.skip(f"needs 20 GB of disk, {folder} has less")
    ours, released, again = (folder / name for name in ("ours", "released", "again"))
    write_ours(family, ours)
    memory = [run("export", ours, released), run("import", released, again)]
    print(f"{family}: peak memory of export and import {[f'{peak / 2**30:.1f} GiB' for peak in memory]}")
    guider, lora = TENSORS[family]
    aliases = {f"after_proj.{kind}": f"adapter_linear.13.{kind}" for kind in ("weight", "bias")}
    names = {SAFE} if family == "sd" else {BIN}
    assert {file.name for file in released.iterdir()} == names | {
        LORA_FILE[family],
        GSRP,
        "config.json",
        "image_encoder",
    }
    count = same_bits(ours / "guider" / SAFE, released / names.pop(), lambda key: aliases.get(key, key))
    assert count == guider + (0 if family == "sd" else 2)
    adapter = ours / "lora" / "adapter_model.safetensors"
    assert same_bits(adapter, released / LORA_FILE[family], lambda key: key.replace(".default.", ".")) == lora
    assert same_bits(ours / "gsrp" / SAFE, released / GSRP) == 258
    for file in (Path("guider") / SAFE, Path("lora") / adapter.name, Path("gsrp") / SAFE):
        same_bits(ours / file, again / file)
    encoder = Path("image_encoder") / "model.safetensors"
    assert same_bits(ours / encoder, released / encoder) == same_bits(ours / encoder, again / encoder) > 500
    assert max(memory) < MEMORY
