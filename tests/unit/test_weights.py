"""Weights of metrics: from a folder, from torch's cache, downloaded; missing, wrong and of another layout."""

import hashlib
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny.metrics import random_network
from tiny.networks import TINY_CLIP, pages, published_head_state, register_tiny_clip, write_weights

from colorflow.evaluation.score.protocol import build_suite
from colorflow.metrics import MetricSettings
from colorflow.metrics.catalog.aesthetic import AestheticHead, fill_head
from colorflow.metrics.catalog.clip_is import clip
from colorflow.metrics.inception import inception
from colorflow.metrics.weights import (
    AESTHETIC_HEAD,
    INCEPTION,
    WeightsFile,
    WrongWeightsError,
    alexnet_file,
    find_weights,
)
from colorflow.utils.tensors import MissingWeightsError

CONTENTS = b"weights"
SHA256 = hashlib.sha256(CONTENTS).hexdigest()
NETWORK_METRICS = ("lpips", "clip_is", "fid", "kid", "aesthetic")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def file(tmp_path: Path) -> WeightsFile:
    (tmp_path / "published.bin").write_bytes(CONTENTS)
    return WeightsFile("network.pth", (tmp_path / "published.bin").as_uri(), SHA256)


def test_a_folder_comes_before_the_cache_and_both_before_a_download(cache, file, tmp_path):
    folder = tmp_path / "folder"
    for place in (cache, folder):
        place.mkdir(parents=True)
        (place / file.name).write_bytes(CONTENTS)
    assert find_weights(file, folder) == folder / file.name
    assert find_weights(file) == cache / file.name
    (folder / file.name).unlink()
    assert find_weights(file, folder) == cache / file.name


def test_downloads_are_checked_and_kept(cache, file, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert find_weights(file) == cache / file.name
    assert find_weights(file, tmp_path / "folder") == cache / file.name
    (cache / file.name).unlink()
    assert find_weights(file, tmp_path / "folder").read_bytes() == CONTENTS
    wrong = WeightsFile("other.pth", file.url, "0" * 64)
    with pytest.raises(WrongWeightsError, match=r"other\.pth"):
        find_weights(wrong)
    assert not (cache / wrong.name).exists()
    gone = WeightsFile("gone.pth", (tmp_path / "nothing.bin").as_uri(), SHA256)
    with pytest.raises(MissingWeightsError, match=r"could not be downloaded .*put it as gone\.pth into metrics"):
        find_weights(gone)


def test_offline_and_with_another_digest_a_file_is_refused(cache, file, tmp_path):
    with pytest.raises(MissingWeightsError, match=r"set offline; download file://.* into metrics\.weights_dir"):
        find_weights(file)
    (tmp_path / file.name).write_bytes(b"torn")
    with pytest.raises(WrongWeightsError, match=rf"expected SHA-256 {SHA256[:16]}"):
        find_weights(file, tmp_path)
    prefix = WeightsFile(file.name, file.url, SHA256[:8])
    (tmp_path / file.name).write_bytes(CONTENTS)
    assert find_weights(prefix, tmp_path) == tmp_path / file.name


def test_published_layouts_and_digests():
    assert INCEPTION.name.endswith(f"-{INCEPTION.sha256[:8]}.pth")
    assert alexnet_file().name == f"alexnet-owt-{alexnet_file().sha256}.pth"
    assert all(len(file.sha256) == 64 for file in (INCEPTION, AESTHETIC_HEAD))
    state = published_head_state()
    own, published = ({key: value.shape for key, value in one.items()} for one in (AestheticHead().state_dict(), state))
    assert own == published
    fill_head(AestheticHead(), state, "test")
    renamed = {key.replace("layers.7", "layers.8"): value for key, value in state.items()}
    with pytest.raises(WrongWeightsError, match="layers 0, 2, 4, 6, 7"):
        fill_head(AestheticHead(), renamed, "test")


def test_a_folder_of_weights_gives_every_metric(cache, tmp_path, monkeypatch):
    write_weights(tmp_path / "weights", monkeypatch)
    options = {"clip_model": TINY_CLIP, "clip_pretrained": "laion", "strict": True}
    suite = build_suite(MetricSettings((*NETWORK_METRICS, "psnr"), str(tmp_path / "weights"), **options))
    described = suite.describe()
    assert described["metrics"] == [*NETWORK_METRICS, "psnr"]
    assert described["skipped"] == {}
    assert suite.networks["fid"] is suite.networks["kid"]
    assert {name: item["id"] for name, item in described["networks"].items()} == {
        "lpips": "lpips-0.1-alex",
        "clip_is": f"open_clip-{TINY_CLIP}-laion-squash",
        "fid": "inception-2048-clean",
        "kid": "inception-2048-clean",
        "aesthetic": "aesthetic-sac+logos+ava1-l14-linearMSE",
    }
    again = build_suite(MetricSettings(NETWORK_METRICS, str(tmp_path / "weights"), **options))
    assert again.describe()["networks"] == described["networks"]
    one_page = pages(1)
    for name, network in suite.networks.items():
        images = (one_page, one_page) if network.pairs else (one_page,)
        assert torch.equal(network(*images), again.networks[name](*images)), name


def test_missing_weights_skip_a_metric_with_one_line_or_fail(cache, caplog):
    settings = MetricSettings(("psnr", "fid", "kid", "clip_is"))
    with caplog.at_level(logging.WARNING, logger="colorflow"):
        suite = build_suite(settings)
    assert [spec.key for spec in suite.specs] == ["psnr"]
    lines = [record.getMessage() for record in caplog.records]  # of any logger: open_clip is not to add its own
    assert len(lines) == 2
    assert all("left out" in line and "metrics.weights_dir" in line and "\n" not in line for line in lines)
    assert set(suite.describe()["skipped"]) == {"fid", "kid", "clip_is"}
    with pytest.raises(MissingWeightsError, match=r"clip_is: .*ViT-H-14-laion2b_s32b_b79k\.safetensors"):
        build_suite(MetricSettings(("clip_is",), strict=True))


def test_weights_of_another_network_are_no_missing_weights(cache, tmp_path):
    model = register_tiny_clip(tmp_path)
    save_file({"visual.conv1.weight": torch.zeros(3, 3)}, tmp_path / f"{model}-laion.safetensors")
    with pytest.raises(WrongWeightsError, match=f"expected weights of open_clip {model}"):
        build_suite(MetricSettings(("clip_is",), str(tmp_path), clip_model=model, clip_pretrained="laion"))


def test_unknown_names_are_refused(cache):
    with pytest.raises(ValueError, match=r"some of aesthetic, .*, psnr, ssim, or package\.module .*, got 'isc'"):
        MetricSettings(("psnr", "isc"))
    with pytest.raises(ValueError, match=r"got 'nowhere\.metric' \(No module named 'nowhere'\)"):
        MetricSettings(("nowhere.metric",))
    with pytest.raises(ValueError, match="got 'math:pi', which is a float"):
        MetricSettings(("math:pi",))
    for names in ((), ("psnr", "fid", "tiny.metrics:FID")):
        with pytest.raises(ValueError, match=r"expected metrics, each key once, got \["):
            MetricSettings(names)
    with pytest.raises(ValueError, match="got 'ViT-X'"):
        clip(MetricSettings(clip_model="ViT-X"))
    with pytest.raises(ValueError, match="expected a tag of ViT-B-32"):
        clip(MetricSettings(clip_model="ViT-B-32"))
    with pytest.raises(ValueError, match="squash or centre_crop"):
        clip(MetricSettings(clip_resize="crop"))
    with pytest.raises(ValueError, match="clean, legacy"):
        inception(MetricSettings(fid_resize="bilinear"))
    with pytest.raises(ValueError, match="batch_size"):
        random_network(batch_size=0)
