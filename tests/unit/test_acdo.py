"""ACDO: weight files of several layouts, sizes, finishes, and that a page depends on nothing but itself."""

import collections
import os
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.batches import assert_as_alone
from tiny.benchmark import color_page

from colorflow.baselines.acdo import Acdo, AcdoSettings
from colorflow.baselines.acdo.finishes import blend, gamma_levels, keep_luminance
from colorflow.baselines.acdo.learner_file import read_learner
from colorflow.baselines.acdo.unet import AcdoUNet
from colorflow.baselines.weights import load_network
from colorflow.schema import NATIVE_SIZE, ReferencePool
from colorflow.utils.hashing import digest_file
from colorflow.utils.tensors import CheckpointError

POOL = ReferencePool((), (), "")
SMALL = AcdoSettings(render_factor=3)


@pytest.fixture(scope="module")
def method(acdo_file):
    return Acdo.from_weights(acdo_file, "cpu", SMALL)


@pytest.fixture
def fastai(monkeypatch):
    """A class of a package that is there while a file is written; the returned function takes it away."""
    package = ModuleType("fastai_of_old")

    class OptimWrapper:
        def __init__(self):
            self.rates = [1e-3, torch.ones(2)]

    OptimWrapper.__module__, OptimWrapper.__qualname__ = package.__name__, "OptimWrapper"
    package.OptimWrapper = OptimWrapper
    monkeypatch.setitem(sys.modules, package.__name__, package)
    return OptimWrapper(), lambda: monkeypatch.delitem(sys.modules, package.__name__)


class Command:
    def __init__(self, line):
        self.line = line

    def __reduce__(self):
        return os.system, (self.line,)


STATE = {"layers.0.weight": torch.arange(6.0).reshape(2, 3), "layers.1.num_batches_tracked": torch.tensor(3)}


def check(tensors):
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensors[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("content", [STATE, {"model": STATE, "opt": {"lr": 0.1}}, collections.OrderedDict(STATE)])
def test_learner_files_and_bare_states_are_read(tmp_path, content, zipped):
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    check(read_learner(tmp_path / "a.pth"))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_classes_that_are_not_here_are_skipped(tmp_path, fastai, zipped):
    wrapper, remove = fastai
    torch.save({"model": STATE, "opt": [wrapper]}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    remove()
    check(read_learner(tmp_path / "a.pth"))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_file_cannot_run_anything(tmp_path, zipped):
    mark = tmp_path / "was_run"
    content = {"model": STATE, "opt": Command(f"touch {mark}")}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    check(read_learner(tmp_path / "a.pth"))
    assert not mark.exists()
    torch.save({"model": Command(f"touch {mark}")}, tmp_path / "b.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"state of a network under 'model', got Skipped; Learner\.save writes"):
        read_learner(tmp_path / "b.pth")
    assert not mark.exists()


def test_files_that_are_missing_or_of_another_kind_are_named(tmp_path):
    for name, content in {"list": [1], "number": {"model": {"a": 1}}, "empty": {"model": {}}}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=f"{name}: expected a mapping of names to tensors, got"):
            read_learner(tmp_path / name)
    torch.save({"model": STATE}, tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:300])
    (tmp_path / "text").write_text("<html>quota exceeded</html>")
    for name in ("cut", "text"):
        with pytest.raises(CheckpointError, match=f"{name}: truncated, damaged"):
            read_learner(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"method\.weights: expected .*ACDO's network.*set method\.weights=PATH"):
        Acdo.from_weights(tmp_path / "none.pth")


def test_every_difference_from_the_network_is_named(tmp_path):
    file = tmp_path / "a.pth"
    build = lambda: torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))  # noqa: E731
    state = build().state_dict()
    state.pop("1.num_batches_tracked")
    network = load_network(build, file, state, "a test")
    assert torch.equal(network[0].weight, state["0.weight"]), "only the count of steps may be absent"
    assert not network.training
    wrong = {"0.weight": torch.zeros(3, 2), "0.bias": torch.full((2,), float("nan")), "head.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError) as info:
        load_network(build, file, {**state, **wrong} | {}, "a test")
    assert "1 unexpected: head.bias" in str(info.value)
    assert "1 misshapen: 0.weight (expected [2, 2], got [3, 2])" in str(info.value)
    assert "1 not finite: 0.bias" in str(info.value)
    state.pop("1.running_mean")
    with pytest.raises(CheckpointError, match=r"1 missing: 1\.running_mean\n.*expected a test, got another network"):
        load_network(build, file, state, "a test")


@pytest.mark.parametrize("finish", ["yuv", "blend"])
@pytest.mark.parametrize("size", [(40, 56), (57, 33)])
def test_results_have_the_pages_size_and_tell_their_own(method, size, finish):
    page = color_page(1, size).convert("L").convert("RGB")
    painter = Acdo(method.network, AcdoSettings(3, finish))
    result = painter.colorize(page, POOL, seed=0)
    assert (result.mode, result.size, result.info[NATIVE_SIZE]) == ("RGB", size, (48, 48))
    assert result.tobytes() != page.tobytes()
    assert Acdo(method.network, AcdoSettings(4, finish)).colorize(page, POOL, seed=0).tobytes() != result.tobytes()


def test_a_page_depends_on_itself_alone_and_digests_on_the_file(method, acdo_file):
    pages = [color_page(seed) for seed in (1, 2)]
    first = method.colorize(pages[0], POOL, seed=0).tobytes()
    other = ReferencePool(("a",), (color_page(5),), "a")
    torch.manual_seed(7)
    assert method.colorize(pages[1], other, seed=3).tobytes() != first
    assert method.colorize(pages[0], other, seed=3).tobytes() == first
    assert method.digests == {"unet": digest_file(acdo_file)}


def test_pages_of_any_size_go_together(method):
    pages = [color_page(seed, size).convert("L") for seed, size in enumerate([(40, 56), (57, 33), (40, 56)])]
    assert_as_alone(method, method.network, pages, [POOL] * 3, [[0, 1, 2]])


def test_not_a_number_is_refused(method):
    with torch.device("meta"):
        unet = AcdoUNet()
    unet.forward = lambda page: page * float("nan")
    unet.to_empty(device="cpu")
    with pytest.raises(ValueError, match="expected finite colours"):
        Acdo(unet, SMALL).colorize(color_page(1), POOL, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"render_factor": 0}, "acdo render_factor: expected at least 1, got 0"),
        ({"finish": "none"}, "acdo finish: expected one of yuv, blend, got 'none'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        AcdoSettings(**options)


def test_finishes():
    gray = np.asarray(color_page(1).convert("L").convert("RGB"))
    color = np.asarray(color_page(2))
    kept = keep_luminance(gray, color)
    # the released code's luminance: red and blue swapped
    luma = kept[..., ::-1].astype(int) @ np.array([0.299, 0.587, 0.114])
    inside = ((kept > 0) & (kept < 255)).all(axis=-1)
    assert inside.mean() > 0.3
    assert np.abs(luma - gray[..., 0])[inside].max() <= 1.5
    assert (keep_luminance(gray, gray) == gray).all(), "gray pages and predictions stay gray"
    assert gamma_levels(1.7)[255] == 254
    white = np.full((8, 8, 3), 255, np.uint8)
    assert (blend(white, white) == gamma_levels(0.9)[254]).all()
    assert (Image.fromarray(blend(gray, color)).size) == (40, 56)
