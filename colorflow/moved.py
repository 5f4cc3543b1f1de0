"""What saved configurations of earlier versions call by other names; `colorflow.config.load_config` goes by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

TARGETS: dict[str, str] = yaml.safe_load(Path(__file__).with_name("assets").joinpath("moved.yaml").read_text())
"""Targets by their former names."""

_FAMILIES = {"unet": "sd", "transformer": "pixart"}
"""Of a base's ``network``, which families were told by; the U-Net went without saying."""


def todays(tree: Any) -> Any:
    """A saved configuration, plain containers, with every target and key by its name of today."""
    if isinstance(tree, list):
        return [todays(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: todays(value) for key, value in tree.items()}
    if "_target_" in tree:
        tree["_target_"] = TARGETS.get(tree["_target_"], tree["_target_"])
    if tree.get("_target_") == "colorflow.models.families.build_base" and "family" not in tree:
        tree["family"] = _FAMILIES[tree.pop("network", "unet")]
    if "family" in tree and "base" in tree:  # a name of the configuration's alone
        del tree["family"]
    if "ssim_window" in tree:
        tree.pop("random_weights", None)  # of metrics, for tests alone
    if "colour_weight" in tree:
        tree["color_weight"] = tree.pop("colour_weight")
    return tree
