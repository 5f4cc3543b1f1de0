"""A family of somebody else's package trains, exports, loads and paints by configuration alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.runs import SMALLER, tiny_config

import train
from colorflow.pipelines import ColorFlowPipeline

PACKAGE = "somebodys_package"
SOURCE = '''
from dataclasses import replace

from colorflow.models.sd import FAMILY as SD
from colorflow.models.sd.denoiser import SDDenoiser

calls = []


class Turned(SDDenoiser):
    """Answers with the other sign, so that it cannot be taken for Stable Diffusion's."""

    def predict(self, network, *others):
        calls.append(type(network).__name__)
        return -super().predict(network, *others)


FAMILY = replace(SD, name="somebodys_package.family", denoiser=Turned, layout=None)
'''


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "site" / PACKAGE
    folder.mkdir(parents=True)
    (folder / "family.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder.parent)
    return f"{PACKAGE}.family"


def test_a_family_of_another_package(family: str, toon_cache: Path, tmp_path: Path) -> None:
    few = ("trainer.max_steps=1", "trainer.limit_val_batches=0", f"model.base.family={family}")
    cfg = tiny_config(toon_cache, tmp_path / "run", *SMALLER, *few)
    cfg.callbacks = {"export": cfg.callbacks.export}
    train.fit(cfg)
    index = json.loads((tmp_path / "run" / "export" / "model_index.json").read_text())
    assert index["family"] == family
    pipeline = ColorFlowPipeline.from_pretrained(tmp_path / "run" / "export")
    assert pipeline.icp.model.family.name == family
    import somebodys_package.family as theirs  # type: ignore[import-not-found]

    assert len(theirs.calls) == 1, "one step was trained"
    page = Image.new("L", (64, 96), 128)
    output = pipeline(page, [Image.new("RGB", (64, 96), "red")])
    assert theirs.calls == ["UNet2DConditionModel"] * (1 + pipeline.sampling.num_inference_steps)
    assert output.image.size == page.size
    assert np.asarray(output.image).std() > 0, "something was painted"
