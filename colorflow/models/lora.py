"""LoRA on the base U-Net by peft, with the released target modules (released code 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffusers import ModelMixin
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import Tensor

from colorflow.utils.tensors import check_exactly

TARGET_MODULES = ("to_k", "to_q", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
"""Projections and feed-forward of self- and cross-attention: 160 modules of SD1.5."""


def add_lora(
    net: ModelMixin, r: int = 64, lora_alpha: int = 64, target_modules: Sequence[str] = TARGET_MODULES
) -> None:
    """Inject trainable LoRA layers (Gaussian A, zero B, scale ``lora_alpha / r``) and freeze everything else."""
    config = LoraConfig(r=r, lora_alpha=lora_alpha, target_modules=list(target_modules), init_lora_weights="gaussian")
    net.requires_grad_(False)
    _inject(net, config)


def has_lora(net: ModelMixin) -> bool:
    """Whether the net has LoRA layers that stand beside their base layers, not merged into them."""
    layers = [module for module in net.modules() if isinstance(module, BaseTunerLayer)]
    return bool(layers) and not any(layer.merged for layer in layers)


def save_lora(net: ModelMixin, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``, peft's own layout."""
    net.peft_config["default"].save_pretrained(str(folder))
    tensors = {key: value.detach().cpu().contiguous() for key, value in get_peft_model_state_dict(net).items()}
    save_file(tensors, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})


def load_lora(net: ModelMixin, folder: Path) -> None:
    """Inject the adapter that `save_lora` wrote, every key accounted for.

    Raises:
        FileNotFoundError: If it is not an adapter folder.
        CheckpointError: If a key is missing, unexpected or of another shape.
    """
    for name in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"LoRA: expected a peft adapter folder with {name}, got {folder}; export the run again"
            )
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    net.requires_grad_(False)
    _inject(net, config)
    load_lora_state_dict(net, load_file(folder / SAFETENSORS_WEIGHTS_NAME), source=str(folder))


def load_lora_state_dict(net: ModelMixin, tensors: dict[str, Tensor], source: str) -> None:
    """Load LoRA tensors onto an injected net; any difference in keys or shapes is an error that names it."""
    remedy = "check that rank, target modules and base model are those of the training run"
    check_exactly(get_peft_model_state_dict(net), tensors, f"LoRA weights in {source} for this network", remedy)
    set_peft_model_state_dict(net, tensors)


def merge_lora(net: ModelMixin) -> None:
    """Fold the LoRA product into the base weights for inference (equal up to rounding)."""
    for module in net.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()


def fuse_lora(net: ModelMixin) -> None:
    """Merge, and put the base layers back where the LoRA layers stood: stock modules, no LoRA tensors in memory.

    Equal up to rounding in the base's precision, and not undone: only for a net that is run, never trained or saved.
    """
    merge_lora(net)
    for name, module in list(net.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, module.get_base_layer())
    if hasattr(net, "peft_config"):
        del net.peft_config


def _inject(net: ModelMixin, config: LoraConfig) -> None:
    inject_adapter_in_model(config, net)
    if not hasattr(net, "peft_config"):
        net.peft_config = {"default": config}
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # trained in float32 also where the base is kept in bfloat16
