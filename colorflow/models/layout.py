"""What a released checkpoint of a family holds, derived from its configuration: names and shapes of every tensor.

Read off our networks and diffusers' on the meta device (released code 3.2, 3.5 and 4).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from torch import Tensor, nn

from colorflow.utils.tensors import Shapes, shapes_of

Config = Mapping[str, Any]


class Layout(ABC):
    """One family's files.

    Attributes:
        guider_class: Our guider.
        released_class: ``_class_name`` of the released guider's configuration.
        lora_file: Name of the released LoRA file.
        channels: Configuration entry of the conditioning channels.
        input_weight: Name of the tensor whose second side tells them.
        targets: Modules that have LoRA.
        base: Hub id of the base model.
    """

    guider_class: ClassVar[Any]
    released_class: ClassVar[str]
    lora_file: ClassVar[str]
    channels: ClassVar[str]
    input_weight: ClassVar[str]
    targets: ClassVar[tuple[str, ...]]
    base: ClassVar[str]

    @cached_property
    def released(self) -> dict[str, dict[str, Any]]:
        """Entries of ``released.yaml`` beside the family's layout.

        ``schedule``: the base's training noise schedule. ``fixed``: entries of the released configuration that must be
        so; ours knows nothing else. ``idle``: those without influence.
        """
        file = Path(inspect.getfile(type(self))).with_name("released.yaml")
        found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
        return found

    @property
    def settings(self) -> tuple[str, ...]:
        """Configuration entries that our guider takes beside the channels, but those that no released one has."""
        names = inspect.signature(self.guider_class.__init__).parameters
        return tuple(name for name in names if name not in ("self", self.channels, "tone_octaves"))

    def guider(self, config: Config) -> Shapes:
        """Tensors of our guider."""
        with torch.device("meta"):
            network = self.guider_class(**{name: config[name] for name in (*self.settings, self.channels)})
        return shapes_of(network.state_dict())

    @abstractmethod
    def network(self, config: Config, text_width: int, answer: int) -> nn.Module:
        """The base network on the meta device, from its guider's configuration.

        Args:
            config: Guider configuration.
            text_width: Width of the text embedding.
            answer: Channels of the answer.
        """

    def aliases(self, config: Config) -> dict[str, str]:
        """Released names of tensors that are stored a second time, and of which; none unless a family has some."""
        return {}

    @abstractmethod
    def text_and_answer(self, config: Config, lora: Mapping[str, Tensor]) -> tuple[int, int]:
        """Width of the text embedding and channels of the answer: from the configuration, else from the LoRA."""

    def unfit(self, config: Config) -> list[str]:
        """Why the released code could not load a guider of ours; empty where it can."""
        return []

    @abstractmethod
    def text_settings(self, config: Config, text_width: int, answer: int) -> dict[str, Any]:
        """Released configuration entries about text and answer, which our guider does not have."""

    def lora(self, config: Config, tensors: Mapping[str, Tensor], rank: int) -> Shapes:
        """LoRA tensors of the base network."""
        shapes: Shapes = {}
        for name, module in self.network(config, *self.text_and_answer(config, tensors)).named_modules():
            if not any(name == target or name.endswith(f".{target}") for target in self.targets):
                continue
            weight = module.get_parameter("weight")
            outside, inside, *kernel = weight.shape
            shapes[f"{name}.lora_A.weight"] = (rank, inside, *kernel)
            shapes[f"{name}.lora_B.weight"] = (outside, rank, *([1] * len(kernel)))
        return shapes


def given(config: Config, entry: str, tensors: Mapping[str, Tensor], suffix: str, side: int) -> int:
    """A number of the configuration, or the most frequent one of the tensors that tell it; 1 where none does."""
    if config.get(entry) is not None:
        return int(config[entry])
    told = [tensor.shape[side] for key, tensor in tensors.items() if key.endswith(suffix) and tensor.ndim > side]
    return max(set(told), key=told.count) if told else 1
