"""Reading the parts of either kind of folder, with a list of everything that is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from colorflow.models.families import known_families
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.models.layout import Layout
from colorflow.utils.files import atomic_folder
from colorflow.utils.tensors import CheckpointError, Shapes, Tensors, differences, read_tensors, renamed, shapes_of

DIFFUSERS_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
ENCODER_NAMES = ("model.safetensors", "pytorch_model.bin")
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")
_LORA_PREFIXES = ("base_model.model.", "unet.", "transformer.")
_OPTIONAL = {"interpolation_scale", "use_additional_conditions"}


@dataclass
class Parts:
    """What a folder holds, under our names; ``problems`` says what is wrong with it.

    Attributes:
        family: Its family's name.
        layout: What that family's files hold.
        config: Guider configuration, with the conditioning channels.
        guider: Guider tensors.
        lora: LoRA tensors under adapter-free names.
        gsrp: Fusion network tensors; None where left out.
        image_encoder: Checked folder of the retrieval encoder, if there is one.
        problems: Lines for the error.
    """

    family: str
    layout: Layout
    config: dict[str, Any]
    guider: Tensors = field(default_factory=dict)
    lora: Tensors = field(default_factory=dict)
    gsrp: Tensors | None = None
    image_encoder: Path | None = None
    problems: list[str] = field(default_factory=list)

    def read(self, file: Path, reader: Callable[[Path], Tensors] = read_tensors) -> Tensors | None:
        """The tensors of a file; None, and a problem, where it cannot be read."""
        try:
            return reader(file)
        except CheckpointError as error:
            self.problems.append(str(error))
            return None

    def read_guider(self, file: Path, config_file: Path) -> None:
        """Read and compare the guider; aliases are checked and dropped."""
        layout = self.layout
        absent = [name for name in layout.settings if name not in self.config and name not in _OPTIONAL]
        if absent:
            self.problems.append(f"{config_file}: missing entries: {', '.join(absent)}")
        tensors = self.read(file)
        if tensors is None or absent:
            return
        self.config |= {name: None for name in _OPTIONAL & set(layout.settings) if name not in self.config}
        if self.config.get(layout.channels) is None:
            weight = tensors.get(layout.input_weight, torch.empty(0, 0))
            self.config[layout.channels] = max(weight.shape[1] - self.config["in_channels"], 1)
        self.guider = self._without_aliases(file, tensors)
        self.problems += differences(file, layout.guider(self.config), self.guider)

    def _without_aliases(self, file: Path, tensors: Tensors) -> Tensors:
        for alias, name in self.layout.aliases(self.config).items():
            if alias in tensors and name in tensors and not torch.equal(tensors[alias], tensors[name]):
                self.problems.append(f"{file}: {alias} is stored beside {name} and must equal it, but differs")
        return {key: value for key, value in tensors.items() if key not in self.layout.aliases(self.config)}

    def read_lora(self, file: Path) -> None:
        """Read and compare the LoRA of the base network; the guider's configuration says which that is."""
        self.lora = self.read(file, plain_lora) or {}
        if self.guider and self.lora:
            self.problems += differences(file, self.layout.lora(self.config, self.lora, self.rank), self.lora)

    def read_gsrp(self, file: Path) -> None:
        """Read and compare the fusion network."""
        self.gsrp = self.read(file)
        if self.gsrp is not None:
            self.problems += differences(file, fusion(fusion_widths(self.gsrp)), self.gsrp)

    def read_image_encoder(self, folder: Path) -> None:
        """Compare a CLIP vision folder with what its own configuration says."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        if not (folder / "config.json").is_file():
            self.problems.append(f"{folder / 'config.json'}: missing; fetch the whole folder")
            return
        file = first_of(folder, ENCODER_NAMES)
        tensors = self.read(file)
        if tensors is None:
            return
        with torch.device("meta"):
            model = CLIPVisionModelWithProjection(CLIPVisionConfig.from_pretrained(str(folder)))
        # Older releases of transformers also stored the row of position numbers.
        stored = {key: value for key, value in tensors.items() if not key.endswith(".position_ids")}
        self.problems += differences(file, shapes_of(model.state_dict()), stored)
        self.image_encoder = folder

    @property
    def rank(self) -> int:
        """LoRA rank: the most frequent first side of the A matrices."""
        ranks = [tensor.shape[0] for key, tensor in self.lora.items() if ".lora_A." in key and tensor.ndim > 1]
        return max(set(ranks), key=ranks.count) if ranks else 1


def layouts() -> dict[str, Layout]:
    """What was released, by family."""
    return {family.name: family.layout for family in known_families() if family.layout is not None}


def plain_lora(file: Path) -> Tensors:
    """LoRA tensors under peft's adapter-free names, whatever adapter and wrapper they were saved under.

    Raises:
        CheckpointError: As `read_tensors`, and if the file holds several adapters.
    """
    tensors, names, adapters = read_tensors(file), {}, set()
    for key in tensors:
        match = _LORA.fullmatch(key)
        if match is None:
            names[key] = key  # named as unexpected by the comparison
            continue
        module = match["module"]
        for prefix in _LORA_PREFIXES:
            module = module.removeprefix(prefix)
        adapters.add(match["adapter"])
        names[key] = f"{module}.lora_{match['side']}.weight"
    if len(adapters) > 1:
        listed = ", ".join(sorted(str(adapter) for adapter in adapters))
        raise CheckpointError(f"{file}: expected the tensors of one adapter, got {len(adapters)}: {listed}; keep one")
    return renamed(file, names, tensors)


def fusion_widths(tensors: Mapping[str, Tensor]) -> list[int]:
    """Widths of the VAE's tapped features, finest first, as the first convolution of each level tells them.

    A level that is not there gets the width of the one before it, so that the comparison names all of it.
    """
    widths: list[int] = []
    for level in range(5):  # both released bases have Stable Diffusion's VAE: input convolution, four blocks
        first = tensors.get(f"two_layer_resnets.{level}.block1.conv1.weight")
        told = first.shape[1] // 2 if first is not None and first.ndim == 4 else 0
        widths.append(told or (widths[-1] if widths else 1))
    return widths


def fusion(widths: list[int]) -> Shapes:
    """Tensors of ``MultiResNetModel.bin`` for a VAE whose tapped features are so wide."""
    with torch.device("meta"):
        return shapes_of(FusionNetwork(widths[1:]).state_dict())


def read_json(file: Path, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: If it is absent or not one.
    """
    if not file.is_file():
        raise CheckpointError(f"{file}: missing; expected {what}")
    try:
        value = json.loads(file.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: expected JSON, got {error}; fetch it again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{file}: expected a JSON object, got {type(value).__name__}; fetch it again")
    return value


def first_of(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files that is there, else the first name, so that an error can name it."""
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write safetensors, as diffusers and peft do."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, file, metadata={"format": "pt"})


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill that takes its name only when it is whole.

    Raises:
        CheckpointError: If the target exists and is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CheckpointError(f"{target}: exists already; name a folder that is new or empty")
    with atomic_folder(target) as fresh:
        yield fresh
