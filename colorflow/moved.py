"""What saved configurations of earlier versions call by other names; `colorflow.config.load_config` goes by it."""

from __future__ import annotations

from typing import Any

_BENCH = "colorflow.evaluation.bench"

TARGETS = {
    "colorflow.data.toon.ToonSpec": "colorflow.toon.ToonSpec",
    "colorflow.evaluation.colorflow_bench.colorflow_bench": f"{_BENCH}.colorflow_bench.colorflow_bench",
    "colorflow.evaluation.command_rows.command_rows": "colorflow.baselines.command.rows",
    "colorflow.evaluation.methods.Row": "colorflow.evaluation.rows.exports.Row",
    "colorflow.evaluation.methods.colorflow_rows": "colorflow.evaluation.rows.exports.colorflow_rows",
    "colorflow.evaluation.methods.predictions_rows": "colorflow.baselines.predictions.rows",
    "colorflow.evaluation.port_rows.acdo_rows": "colorflow.baselines.acdo.rows",
    "colorflow.evaluation.port_rows.mcv2_rows": "colorflow.baselines.mcv2.rows",
    "colorflow.evaluation.reference_rows.color_transfer_rows": "colorflow.baselines.color_transfer.rows",
    "colorflow.evaluation.reference_rows.ebmc_rows": "colorflow.baselines.ebmc.rows",
    "colorflow.evaluation.reference_rows.patch_copy_rows": "colorflow.baselines.patch_copy.rows",
    "colorflow.evaluation.reference_rows.screenvae_rows": "colorflow.baselines.screenvae.rows",
    "colorflow.evaluation.toon_benchmark.existing_benchmark": f"{_BENCH}.toon_benchmark.existing_benchmark",
    "colorflow.evaluation.toon_benchmark.toon_benchmark": f"{_BENCH}.toon_benchmark.toon_benchmark",
    "colorflow.pipelines.rap.RetrievalSettings": "colorflow.retrieval.settings.RetrievalSettings",
    "colorflow.pipelines.rap.build_retriever": "colorflow.retrieval.settings.build_retriever",
    "colorflow.styles.GrayStyle": "colorflow.styles.gray.GrayStyle",
    "colorflow.styles.Interpolated": "colorflow.styles.compose.Interpolated",
    "colorflow.styles.Mixed": "colorflow.styles.compose.Mixed",
    "colorflow.styles.ProceduralStyle": "colorflow.styles.procedural.style.ProceduralStyle",
    "colorflow.styles.RecordedStyle": "colorflow.styles.recorded.RecordedStyle",
    "colorflow.styles.Scan": "colorflow.styles.procedural.scan.Scan",
    "colorflow.styles.SketchStyle": "colorflow.styles.sketch.SketchStyle",
    "colorflow.styles.ToneRanges": "colorflow.styles.procedural.tones.ToneRanges",
    "colorflow.styles.screenstyle": "colorflow.styles.augmentation.screenstyle",
    "colorflow.tasks.base_task.VAETask": "colorflow.tasks.vae_task.VAETask",
}
"""What ``config.yaml`` of a run of commit 99cab2b may name as a ``_target_``, and its name now."""

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
    if "colour_weight" in tree:
        tree["color_weight"] = tree.pop("colour_weight")
    return tree
