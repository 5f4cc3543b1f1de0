"""The export folder: what training hands to everything else, in diffusers' and peft's layouts.

``model_index.json``, ``guider/``, ``lora/``, ``scheduler/``, ``gsrp/`` where there is one, and the base: by hub id
and revision where it has one, in full under ``base/`` where it is small or exists nowhere else.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, ModelMixin

from colorflow import __version__
from colorflow.models.base import Base, load_base, load_strict, save_base, save_network
from colorflow.models.families import find_family
from colorflow.models.family import Family
from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.models.gsrp.model import GSRPModel
from colorflow.models.icp_model import ICPModel
from colorflow.models.lora import has_lora, load_lora, save_lora
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.files import atomic_folder, write_json_atomic
from colorflow.utils.tensors import check_whole

SMALL_BASE = 50_000_000
"""Bases of fewer parameters are exported in full (our choice: 200 MB at most)."""

_ASSETS = Path(__file__).resolve().parents[1] / "assets"

SHIPPED = {"toon": _ASSETS / "toon_colorizer", "toon_identity": _ASSETS / "toon_identity"}
"""Export folders that come with the package, by name."""

_INDEX = "model_index.json"
_INSIDE = "base"
_GSRP = "gsrp"
_OWN_VAE = "vae"
_FAMILIES = {"ColorizationGuider": "sd", "PixArtGuider": "pixart"}
"""By the class of their guider: of exports that were written before exports named their family."""
_DAMAGED = "Copy the export folder again from where it was made, or export the run again."


@dataclass(frozen=True)
class Export:
    """What an export folder holds; ``gsrp`` shares the model's VAE unless it has its own.

    Attributes:
        model: Colorizer.
        page_size: Page size (W, H) on the canvas.
        retrieval: How patches are chosen; an encoder inside the folder by its whole path.
        gsrp: Guided super-resolution, where there is one.
        folder: The folder itself.
        num_inference_steps: Steps of the solver that it asks for, if any.
    """

    model: ICPModel
    page_size: tuple[int, int]
    retrieval: RetrievalSettings
    gsrp: GSRPModel | None
    folder: Path
    num_inference_steps: int | None = None


@dataclass(frozen=True)
class ExportSettings:
    """What an export says beside its weights.

    Attributes:
        page_size: Page size (W, H) of inference.
        retrieval: How the pipeline retrieves unless told otherwise.
        colorizer: Export folder of an ICP run that guided super-resolution is joined with, if any.
        num_inference_steps: Steps of the solver where a recipe does not say; None: those of the released demo.
    """

    page_size: tuple[int, int]
    retrieval: RetrievalSettings
    colorizer: Path | None = None
    num_inference_steps: int | None = None


def save_export(
    model: ICPModel,
    folder: Path,
    page_size: tuple[int, int],
    retrieval: RetrievalSettings,
    gsrp: FusionNetwork | None = None,
    num_inference_steps: int | None = None,
) -> None:
    """Write an export folder; an existing one is replaced only when the new one is complete."""
    with atomic_folder(folder) as fresh:
        save_lora(model.network, fresh / "lora")
        base = _save_base(model, fresh)
        _save_rest(model, fresh, base, page_size, retrieval, num_inference_steps)
        if gsrp is not None:
            _save_gsrp(gsrp, fresh)


def save_loaded(export: Export | None, folder: Path, page_size: tuple[int, int], gsrp: GSRPModel | None) -> None:
    """Write what `load_export` read, as it is in memory now, also over the folder that it came from.

    Base and LoRA are copied from that folder where LoRA was merged since: they do not come apart again exactly. So is
    an encoder that lies in it.

    Args:
        export: What was read; its page size and ``gsrp`` are not looked at.
        folder: Where to.
        page_size: Page size (W, H) on the canvas.
        gsrp: Guided super-resolution, if any.

    Raises:
        ValueError: Without an export: the base's source is not known then.
        FileNotFoundError: If something has to be copied and is not there any more.
    """
    if export is None:
        raise ValueError(
            "save_pretrained: expected a pipeline made by from_pretrained, got one made of its parts; use "
            "colorflow.pipelines.export.save_export, which takes the model they came from"
        )
    model, source, retrieval = export.model, export.folder, export.retrieval
    with atomic_folder(folder) as fresh:
        if has_lora(model.network):
            save_lora(model.network, fresh / "lora")
            base = _save_base(model, fresh)
        else:
            _copy(source / "lora", fresh / "lora")
            base = _read_index(source)["base"]
            if base["source"] == _INSIDE:
                _copy(source / _INSIDE, fresh / _INSIDE)
        encoder = None if retrieval.folder is None else Path(retrieval.folder)
        if encoder is not None and encoder.is_relative_to(source):
            _copy(encoder, fresh / encoder.relative_to(source))
            retrieval = replace(retrieval, folder=str(encoder.relative_to(source)))
        _save_rest(model, fresh, base, page_size, retrieval, export.num_inference_steps)
        if gsrp is not None:
            _save_gsrp(gsrp.fusion, fresh, gsrp.vae if gsrp.own_vae else None)


def _save_rest(
    model: ICPModel,
    folder: Path,
    base: dict[str, Any],
    page_size: tuple[int, int],
    retrieval: RetrievalSettings,
    num_inference_steps: int | None,
) -> None:
    save_network(model.guider, folder / "guider")
    model.noise_scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "ColorFlowPipeline",
        "_colorflow_version": __version__,
        "family": model.family.name,
        "base": base,
        "page_size": list(page_size),
        "num_inference_steps": num_inference_steps,
        "retrieval": asdict(replace(retrieval, device="cpu")),
    }
    write_json_atomic(index, folder / _INDEX)


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise FileNotFoundError(
            f"save_pretrained: expected {source} to copy (LoRA that was merged since loading and its base, an encoder "
            "that lies in the folder), got nothing; keep the folder, or load it without merging"
        )
    shutil.copytree(source, target)


def save_gsrp(
    fusion: FusionNetwork, folder: Path, colorizer: Path | None = None, vae: AutoencoderKL | None = None
) -> None:
    """Write an export folder with ``gsrp/``: alone, or beside a copy of what another export folder holds.

    ``vae`` is one of its own, where it does not take the colorizer's.
    """
    with atomic_folder(folder) as fresh:
        if colorizer is not None:
            shutil.copytree(colorizer, fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_GSRP))
        _save_gsrp(fusion, fresh, vae)


def _save_gsrp(fusion: FusionNetwork, folder: Path, vae: AutoencoderKL | None = None) -> None:
    save_network(fusion, folder / _GSRP)
    if vae is not None:
        save_network(vae, folder / _GSRP / _OWN_VAE)


def load_gsrp(folder: Path, vae: AutoencoderKL) -> GSRPModel:
    """Guided super-resolution of an export folder, on its own VAE or on one that is already there, in its precision.

    Raises:
        FileNotFoundError: If the folder has none.
        ValueError: If a file is damaged, a weight is missing, unexpected or of another shape, or it was trained for
            another VAE.
    """
    source = folder / _GSRP
    if not (source / "config.json").is_file() or not any(source.glob("*.safetensors")):
        raise FileNotFoundError(
            f"expected gsrp/ with config.json and weights, got none in {folder}; experiment=gsrp trains and exports it"
        )
    check_whole(source, _DAMAGED)
    fusion = load_strict(FusionNetwork, str(source), torch_dtype=vae.dtype)
    own = (source / _OWN_VAE).is_dir()
    if own:
        vae = load_strict(AutoencoderKL, str(source / _OWN_VAE), torch_dtype=vae.dtype).to(vae.device)
    return GSRPModel(vae, fusion.to(vae.device), own).eval().requires_grad_(False)


def find_export(weights: str | Path) -> Path:
    """The export folder of that place, or of that name (``toon``) among those that come with the package."""
    return Path(weights) if Path(weights).exists() else SHIPPED.get(str(weights), Path(weights))


def check_export(folder: Path) -> None:
    """Refuse what is no export folder.

    Raises:
        FileNotFoundError: Saying what is one.
    """
    if not (folder / _INDEX).is_file():
        raise FileNotFoundError(
            f"weights: expected an export folder with {_INDEX}, got {folder}; training writes one to "
            f"runs/<experiment>/<time>/export, and {', '.join(SHIPPED)} comes with the package"
        )


def load_export(folder: Path, dtype: torch.dtype = torch.float32, gsrp: Path | None = None) -> Export:
    """Read an export folder.

    Args:
        folder: Export folder.
        dtype: Networks are cast to this.
        gsrp: Another export folder that guided super-resolution is taken from; default: the same, where it has one.

    Raises:
        FileNotFoundError: If it is not one, or the base it names cannot be had.
        ValueError: If a file is damaged, or a weight is missing, unexpected or of another shape.
    """
    index = _read_index(folder)
    check_whole(folder, _DAMAGED)
    if not (folder / "guider" / "config.json").is_file() or not any((folder / "guider").glob("*.safetensors")):
        raise FileNotFoundError(
            f"expected guider/ with config.json and weights, got none in {folder}; export the run again"
        )
    family = find_family(index["family"]) if "family" in index else _family_before_names(folder)
    base = _load_base(index["base"], folder, dtype, family)
    guider = load_strict(family.denoiser.guider_class, str(folder / "guider"), torch_dtype=dtype)
    load_lora(base.network, folder / "lora")
    model = ICPModel(base, guider).eval().requires_grad_(False).to(dtype)
    retrieval = read_retrieval(folder)
    gsrp = gsrp or (folder if (folder / _GSRP).exists() else None)
    page_size = (index["page_size"][0], index["page_size"][1])
    stage = None if gsrp is None else load_gsrp(gsrp, model.vae)
    return Export(model, page_size, retrieval, stage, folder, index.get("num_inference_steps"))


def read_retrieval(folder: Path) -> RetrievalSettings:
    """How an export folder retrieves patches; errors as for `load_export`."""
    retrieval = RetrievalSettings(**_read_index(folder)["retrieval"])
    if retrieval.folder is not None and (folder / retrieval.folder).is_dir():  # an imported folder carries its encoder
        retrieval = replace(retrieval, folder=str(folder / retrieval.folder))
    return retrieval


def _read_index(folder: Path) -> dict[str, Any]:
    check_export(folder)
    file = folder / _INDEX
    try:
        index: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: expected JSON, got {error}; export the run again") from error
    absent = [key for key in ("base", "page_size", "retrieval") if key not in index]
    if absent:
        raise ValueError(
            f"{file}: expected the index of a ColorFlowPipeline, got {index.get('_class_name')} without "
            f"{', '.join(absent)}; name an export folder of this project"
        )
    return index


def _save_base(model: ICPModel, folder: Path) -> dict[str, Any]:
    size = sum(parameter.numel() for module in (model.network, model.vae) for parameter in module.parameters())
    if size >= SMALL_BASE and model.source not in ("random", _INSIDE):
        source = str(Path(model.source).resolve()) if Path(model.source).is_dir() else model.source
        return {"source": source, "revision": model.revision, "prompt": model.prompt}
    prompts = ("prompt_embeds", "negative_prompt_embeds", "prompt_mask", "negative_prompt_mask")
    base = Base(
        family=model.family,
        vae=model.vae,
        network=_without_lora(model.network),
        scheduler=DDPMScheduler.from_config(model.noise_scheduler.config),
        source=_INSIDE,
        prompt=model.prompt,
        **{name: getattr(model, name) for name in prompts},
    )
    save_base(base, folder / _INSIDE)
    return {"source": _INSIDE, "revision": None, "prompt": model.prompt}


def _family_before_names(folder: Path) -> Family:
    """The family of an export that was written before exports named it, by its guider's class."""
    config = folder / "guider" / "config.json"
    name = json.loads(config.read_text()).get("_class_name")
    if name not in _FAMILIES:
        raise ValueError(
            f"{config}: expected the _class_name of a guider, or a family in {_INDEX}, got {name!r}; released folders "
            "are imported with python -m colorflow.checkpoints import"
        )
    return find_family(_FAMILIES[name])


def _load_base(entry: dict[str, Any], folder: Path, dtype: torch.dtype, family: Family) -> Base:
    """The base the index names, under the noise schedule of the run."""
    inside = entry["source"] == _INSIDE
    source = str(folder / _INSIDE) if inside else entry["source"]
    base = load_base(family, source, entry["revision"], entry["prompt"], dtype)
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
    return replace(base, scheduler=scheduler, source=_INSIDE if inside else base.source)


def _without_lora(network: ModelMixin) -> ModelMixin:
    """The base network under its own names, sharing the tensors of the one with LoRA."""
    with torch.device("meta"):
        plain = type(network).from_config(network.config)
    tensors = {
        key.replace(".base_layer.", "."): value for key, value in network.state_dict().items() if "lora_" not in key
    }
    plain.load_state_dict(tensors, assign=True)
    return plain
