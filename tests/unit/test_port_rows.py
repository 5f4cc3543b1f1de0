"""Rows of ported systems: what their pages hang on, and when weights are read."""

import shutil

import pytest

from colorflow.baselines import acdo, mcv2
from colorflow.baselines.mcv2 import McV2
from colorflow.utils.tensors import CheckpointError


@pytest.fixture
def files(mcv2_files):
    return [str(path) for path in mcv2_files]


def test_a_row_hangs_on_weights_and_options_and_not_on_places(files, tmp_path):
    weights, denoiser = files
    row = mcv2.rows(weights, denoiser)["mcv2"]
    copied = shutil.copy(denoiser, tmp_path / "other.pth")
    same = [mcv2.rows(weights, str(copied)), mcv2.rows(weights, denoiser, device="cpu", name="again")]
    assert {spec.fingerprint for rows in same for spec in rows.values()} == {row.fingerprint}
    assert "again" in same[1]
    others = [
        mcv2.rows(weights, None),
        mcv2.rows(weights, denoiser, size=320),
        mcv2.rows(weights, denoiser, sigma=10),
    ]
    assert len({row.fingerprint, *(rows["mcv2"].fingerprint for rows in others)}) == 4
    assert row.references == "none"
    method = mcv2.rows(weights, denoiser, device="cpu", name="again")["again"].build()
    assert isinstance(method, McV2)
    assert method.name == "again"


def test_wrong_files_are_told_when_the_row_is_made(files):
    with pytest.raises(CheckpointError, match="not loaded; expected MC-v2's generator"):
        mcv2.rows(files[1], None)
    with pytest.raises(CheckpointError, match="not loaded; expected ACDO's network"):
        acdo.rows(files[1])
    with pytest.raises(ValueError, match="render_factor"):
        acdo.rows(files[1], render_factor=0)
