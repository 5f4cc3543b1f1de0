"""Stages that take turns: the same bits, with weights away whenever it is not their turn; the memory of full size."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.comics import draw_page
from tiny.models import PAGE_SIZE, VAE, randomize, tiny_model, tiny_pipeline
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from colorflow.models.gsrp.fusion import FusionNetwork
from colorflow.models.gsrp.model import GSRPModel
from colorflow.pipelines import offload
from colorflow.pipelines.colorflow import ColorFlowPipeline, load_pipeline
from colorflow.pipelines.export import save_export
from colorflow.pipelines.icp import Sampling
from colorflow.pipelines.offload import Turns, towers_on
from colorflow.retrieval.retriever import NoReferences, SimilarityRetriever
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.utils.images import to_tensor
from colorflow.utils.memory import MemoryTracker
from perf import memory

HOST, DEVICE = torch.device("cpu", 1), torch.device("cpu")
"""Two names for one memory: `NaNMove` makes the difference."""


class NaNMove:
    """Moves by filling weights with NaN where they leave: whatever computes with them shows it."""

    def __init__(self) -> None:
        self.away: dict[nn.Module, dict[str, Tensor]] = {}
        self.log: list[tuple[str, str]] = []

    def __call__(self, module: nn.Module, device: torch.device) -> None:
        if (device == HOST) == (module in self.away):
            return  # it is there
        self.log.append((type(module).__name__, "away" if device == HOST else "here"))
        if device == HOST:
            self.away[module] = {key: value.clone() for key, value in module.state_dict().items()}
            for value in module.state_dict().values():
                value.fill_(torch.nan if value.is_floating_point() else -1)
        else:
            module.load_state_dict(self.away.pop(module))


class Tower(nn.Linear):
    """Embeds the pixels of a thumbnail."""


class TowerEncoder:
    """An encoder with weights; runs in inference mode as CLIP does."""

    name = "tower"

    def __init__(self) -> None:
        self.tower = Tower(3 * 64, 6)
        randomize(self.tower, "")

    @torch.inference_mode()
    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        return self.tower(torch.stack([to_tensor(image.resize((8, 8)).convert("RGB")).flatten() for image in images]))


def build() -> ColorFlowPipeline:
    icp = tiny_pipeline(tiny_model().requires_grad_(False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        fusion = FusionNetwork(VAE["block_out_channels"])  # type: ignore[arg-type]
    gsrp = GSRPModel(icp.model.vae, fusion).eval().requires_grad_(False)
    retriever = SimilarityRetriever(TowerEncoder())
    return ColorFlowPipeline(icp, retriever, PAGE_SIZE, Sampling(2), gsrp=gsrp)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> NaNMove:
    """Offloading on one CPU: the host is another name of it, and weights there are NaN."""
    found = NaNMove()
    monkeypatch.setattr(offload, "Turns", lambda device: Turns(device, HOST, found))
    return found


def pictures(pipe: ColorFlowPipeline, guidance: float = 1.0) -> list[np.ndarray]:
    references, sampling = [draw_page(1), draw_page(2)], Sampling(2, guidance)
    outputs = [pipe(draw_page(seed, (40, 60)), references, seed=seed, sampling=sampling) for seed in (3, 4)]
    return [np.asarray(image) for output in outputs for image in (output.image, output.canvas)]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_results_are_the_same_bits(moves, guidance):
    expected = pictures(build(), guidance)
    pipe = build()
    pipe.enable_model_cpu_offload()
    assert {type(module).__name__ for module in moves.away} == {"Tower", "ColorizationGuider", "UNet2DConditionModel"}
    found = pictures(pipe, guidance)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert pipe.turns is not None
    pipe.turns.end()
    assert not moves.away


def test_networks_come_and_go_once_a_page(moves):
    """Guider and U-Net are one group: a swap at each step would cost more than the step."""
    pipe = build()
    pipe.enable_model_cpu_offload()
    moves.log.clear()
    pipe(draw_page(3), [draw_page(1)], sampling=Sampling(5))
    pair = ["ColorizationGuider", "UNet2DConditionModel"]
    expected = [("Tower", "here"), ("Tower", "away")]
    expected += [(name, "here") for name in pair] + [(name, "away") for name in pair]
    assert moves.log == expected


def test_what_is_used_out_of_turn_shows(moves):
    """The test above can fail: nothing but the hooks brings weights back."""
    pipe = build()
    pipe.enable_model_cpu_offload()
    latents, condition = torch.zeros(1, 4, 8, 8), torch.zeros(1, 5, 8, 8)
    timestep = torch.tensor(3)
    assert pipe.turns is not None
    pipe.turns.take(0)
    with torch.no_grad():
        residuals = pipe.icp.model.guider(latents, timestep, condition)
        assert not residuals[0].isnan().any()
        pipe.turns.take(0)
        assert pipe.icp.model.guider.forward(latents, timestep, condition)[0].isnan().all()


def test_enabling_twice_is_enabling_once(moves):
    pipe = build()
    expected = pictures(pipe)
    for _ in range(2):
        pipe.enable_model_cpu_offload()
    assert len(pipe.icp.model.guider._forward_pre_hooks) == 1
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(pictures(pipe), expected, strict=True))


def test_a_failed_move_is_made_up_for(moves):
    pipe = build()
    expected = pictures(pipe)
    pipe.enable_model_cpu_offload()
    assert pipe.turns is not None

    def fail(module: nn.Module, device: torch.device) -> None:
        if module is pipe.icp.model.network and device == DEVICE:
            raise torch.OutOfMemoryError
        moves(module, device)

    pipe.turns.move = fail
    with pytest.raises(torch.OutOfMemoryError):
        pipe(draw_page(3), [draw_page(1)])
    assert pipe.icp.model.guider not in moves.away
    pipe.turns.move = moves
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(pictures(pipe), expected, strict=True))
    assert pipe.icp.model.guider in moves.away


def test_by_configuration(moves, tmp_path):
    pipe = build()
    assert pipe.gsrp is not None
    model = tiny_model().eval()
    save_export(model, tmp_path / "export", PAGE_SIZE, RetrievalSettings(kind="hog"), pipe.gsrp.fusion)
    plain = load_pipeline(tmp_path / "export", device="cpu")
    saving = load_pipeline(tmp_path / "export", device="cpu", offload="stages", row_tile=5)
    assert plain.turns is None
    assert plain.gsrp.fusion.row_tile is None
    assert len(moves.away) == 2
    assert saving.gsrp.fusion.row_tile == 5
    for ours, theirs in zip(pictures(saving), pictures(plain), strict=True):
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
    with pytest.raises(ValueError, match="offload: expected none or stages, got 'cpu'"):
        load_pipeline(tmp_path / "export", device="cpu", offload="cpu")  # type: ignore[arg-type]


def test_encoders_elsewhere_stay_where_they_are():
    retriever = SimilarityRetriever(TowerEncoder())
    assert towers_on(torch.device("cpu"), retriever) == [retriever.encoder.tower]  # type: ignore[attr-defined]
    assert towers_on(torch.device("cuda"), retriever) == []
    assert towers_on(torch.device("cpu"), NoReferences()) == []


def test_moving_in_inference_mode_leaves_ordinary_weights():
    """Retrieval sends the networks away in inference mode; they must come back outside of it."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    turns = Turns("cpu", move=lambda module, device: module.to(torch.float64 if device.index else torch.float32))
    turns.host = HOST
    turns.add((first,), (first,))
    turns.add((second,), (second,))
    first(torch.zeros(2))
    with torch.inference_mode():
        second(torch.zeros(2))
    assert first.weight.dtype == torch.float64
    assert not first.weight.is_inference()
    assert not second.weight.is_inference()
    first(torch.zeros(2)).sum().backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    pipe = build()
    pipe.icp.to("cuda")
    pipe.gsrp.to("cuda")  # type: ignore[union-attr]
    expected = pictures(pipe)
    pipe.enable_model_cpu_offload()
    assert pipe.icp.model.guider.device.type == "cpu"
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(pictures(pipe), expected, strict=True))


# Full size, on the meta device.

RESIDENT, TURNS = 9.3e9, 6e9
"""Bytes, weights included: what Cobra's paper states for its page, and issue 3's bound."""


@pytest.fixture(scope="module")
def networks() -> memory.Networks:
    return memory.build("meta")


def test_a_page_of_full_size_fits_at_once(networks):
    """Guidance doubles what the VAE encodes at once, which alone would take it to 9.32 GB: hence slicing there."""
    weights = sum(value.nbytes for module in networks.modules() for value in module.state_dict().values())
    weights -= sum(value.nbytes for name, value in networks.gsrp.state_dict().items() if "num_batches" in name)
    # 1,725.5 M of U-Net, LoRA and guider, 168.7 M of VAE and fusion, 632.1 M of CLIP
    assert round(weights / 1e9, 2) == 5.05
    for setting in (memory.Setting(), memory.Setting(slicing=True, row_tile=64, guidance=7.5)):
        peaks = memory.measure(networks, setting)
        assert list(peaks.stages) == ["retrieve", "encode", "denoise", "decode", "super-resolve"]
        assert weights + 0.5e9 < min(peaks.stages.values())
        assert peaks.peak < RESIDENT


@pytest.mark.parametrize(("guidance", "row_tile"), [(1.0, None), pytest.param(7.5, 64, marks=pytest.mark.slow)])
def test_a_page_of_full_size_fits_in_turns(networks, guidance, row_tile):
    peaks = memory.measure(networks, memory.Setting(turns=True, guidance=guidance, row_tile=row_tile))
    assert peaks.peak < TURNS
    assert peaks.peak == peaks.stages["denoise"]
    assert peaks.peak > 2 * 1.725e9, "both networks are there at once"


def test_tiles_save_memory_and_cost_no_convolutions(networks):
    peaks, flops = {}, {}
    for rows in (None, 64):
        networks.gsrp.fusion.set_row_tile(rows)
        run = memory.stages(networks, memory.Setting(size=(1536, 2400)))["super-resolve"]
        counter, tracker = FlopCounterMode(display=False), MemoryTracker()
        with torch.no_grad(), counter, tracker, tracker.stage("run"):
            run()
        peaks[rows], flops[rows] = tracker.peak, counter.get_total_flops()
    assert peaks[64] < 0.65 * peaks[None]
    assert peaks[64] < 7.2e9, "encoder features were kept after their level was fused"
    assert 1.0 <= flops[64] / flops[None] < 1.01, "1 x 1 shortcuts run twice, nothing else"
