"""The cache of latents: a step on it is the step on pictures, and one of anything else is refused."""

import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from test_gsrp_task import task as gsrp_task
from tiny.models import tiny_model
from tiny.runs import SMALLER, batch_of, tiny_config
from torch import Tensor

from colorflow import config
from colorflow.data import latents
from colorflow.data.chapters import DataError
from colorflow.data.latents import LatentCache, ViewDataModule, cacheable, made_of
from colorflow.data.page_transform import PageTransform
from colorflow.data.transforms import CanvasTransform
from colorflow.schema import LatentBatch
from colorflow.styles.gray import GrayStyle

ROOT = Path(__file__).resolve().parents[2]
RUN = (
    *SMALLER,
    "model.window=[1.25,2.0]",
    "transform.views=2",
    "style=procedural",
    "data.datamodule.source.pages=4",
    "trainer.max_steps=3",
    "trainer.gradient_clip_val=null",
    "validate_first=false",
    "optimizer.lr=0.01",
    "lr_scheduler.num_warmup_steps=0",
)
ONE = "data.datamodule.global_batch_size=1"
pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*eval mode.*", "ignore:.*val_dataloader.*")


def write(cfg: DictConfig) -> Path:
    """Run data/cache_latents.py as its main does, short of Hydra's own start."""
    return Path(runpy.run_path(str(ROOT / "data" / "cache_latents.py"))["run"](cfg))


def configure(cache: Path, folder: Path, *overrides: str, latents: Path | None = None) -> DictConfig:
    given = [] if latents is None else [f"data.latents={latents}"]
    return tiny_config(cache, folder, *RUN, *given, *overrides)


def trained(cfg: DictConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)  # of fresh LoRA layers
    task, data = config.build(cfg.task), config.build(cfg.data.datamodule)
    trainer = config.build(cfg.trainer, logger=False, enable_checkpointing=False)
    trainer.fit(task, datamodule=data)
    return {name: value.detach().clone() for name, value in task.trainable().items()}


@pytest.fixture(scope="module")
def cached(toon_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents") / "cache"
    return write(configure(toon_cache, folder.parent, ONE, latents=folder))


def test_training_on_the_cache_is_training_on_pictures(cached, toon_cache, tmp_path):
    expected = trained(configure(toon_cache, tmp_path, ONE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colorflow.data.transforms.CanvasTransform.canvases", _never)
        patch.setattr("colorflow.models.icp_model.encode_posterior", _never)
        found = trained(configure(toon_cache, tmp_path, ONE, "trainer.limit_val_batches=0", latents=cached))
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    start = {name: value for name, value in config.build(configure(toon_cache, tmp_path).task).trainable().items()}
    assert any(not torch.equal(value, start[name]) for name, value in found.items() if "lora_B" in name)


def test_larger_batches_differ_by_rounding_alone(cached, toon_cache, tmp_path):
    steps = "trainer.max_steps=1"
    expected = trained(configure(toon_cache, tmp_path, steps))
    found = trained(configure(toon_cache, tmp_path, steps, latents=cached))
    # Adam's first step is the gradient's sign times lr: only values near zero may turn.
    turned = sum(int(((found[name] - value).abs() > 1e-3).sum()) for name, value in expected.items())
    assert turned < 0.002 * sum(value.numel() for value in expected.values())


def _never(*_: Any) -> None:
    raise AssertionError("pictures are not looked at")


STALE = {
    "weights": (["model.base.random.seed=5"], "made with other VAE weights, precision or conditioning"),
    "conditioning": (["model.conditioning_channels=17"], "made with other VAE weights, precision or conditioning"),
    "precision": (["trainer.precision=bf16-mixed"], "made with other VAE weights, precision or conditioning"),
    "style": (["style=gray"], "made with other transform;"),
    "window": (["model.window=[1.5,2.0]"], "made with other transform;"),
    "palette": (["transform.palette={_target_:colorflow.data.palette.PaletteShift}"], "made with other transform;"),
    "views": (["transform.views=3"], "made with other transform;"),
    "pages": (["data.datamodule.source.chapters=4"], "made with other pages or references;"),
    "references": (["retrieval=random"], "made with other pages or references;"),
}


@pytest.mark.parametrize("change", STALE)
def test_a_stale_cache_is_refused(change, cached, toon_cache, tmp_path):
    overrides, message = STALE[change]
    with pytest.raises(DataError, match=message):
        trained(configure(toon_cache, tmp_path, *overrides, latents=cached))


def test_what_cannot_be_cached_is_refused(cached, toon_cache, tmp_path):
    with pytest.raises(ValueError, match="expected a canvas transform with a fixed number of views"):
        trained(configure(toon_cache, tmp_path, "transform.views=null", latents=cached))
    with pytest.raises(ValueError, match="expected task=icp, got BaseTask, which trains on pictures"):
        trained(configure(toon_cache, tmp_path, "task=base_unet", latents=cached))
    with pytest.raises(ValueError, match="expected a canvas transform"):
        cacheable(PageTransform((32, 48), GrayStyle()))
    transform = CanvasTransform((32, 48), (32, 48), GrayStyle(), views=1)
    trainer = SimpleNamespace(lightning_module=gsrp_task(), precision="32-true")
    with pytest.raises(ValueError, match="expected task=icp, got GSRPTask"):
        made_of(SimpleNamespace(fingerprint="a"), transform, trainer)  # type: ignore[arg-type]


def test_an_unfinished_cache_is_not_used_and_is_gone_on_with(cached, toon_cache, tmp_path):
    folder = tmp_path / "cache"
    cfg = configure(toon_cache, tmp_path, ONE, latents=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LatentCache, "write", _dies_after(2, LatentCache.write))
        with pytest.raises(RuntimeError, match="killed"):
            write(cfg)
    with pytest.raises(DataError, match="found an unfinished one: run that again"):
        trained(cfg)
    written: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = LatentCache.write
        patch.setattr(LatentCache, "write", lambda self, batch, rows: (written.extend(rows), whole(self, batch, rows)))
        write(cfg)
    assert written == list(range(2, 16))
    assert (folder / "rows.bin").read_bytes() == (cached / "rows.bin").read_bytes()
    with pytest.raises(DataError, match="expected a new folder, found a complete cache"):
        write(cfg)


def _dies_after(count: int, whole: Callable[..., None]) -> Callable[..., None]:
    calls = []

    def write_some(cache: LatentCache, batch: LatentBatch, rows: tuple[int, ...]) -> None:
        calls.append(rows)
        if len(calls) <= count:
            whole(cache, batch, rows)
            return
        with pytest.MonkeyPatch.context() as patch:  # the row, but not the id that makes it whole
            patch.setattr(latents.os, "pwrite", _dies_at_the_second(latents.os.pwrite))
            whole(cache, batch, rows)

    return write_some


def _dies_at_the_second(pwrite: Callable[..., int]) -> Callable[..., int]:
    calls = []

    def once(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("killed")
        return pwrite(*arguments)

    return once


def test_a_cache_cut_short_is_refused(cached, toon_cache, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("index.json", "rows.bin"):
        (folder / name).write_bytes((cached / name).read_bytes())
    with open(folder / "rows.bin", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=r"rows\.bin: expected \d+ bytes, got 1000; make the cache again"):
        trained(configure(toon_cache, tmp_path, latents=folder))
    with pytest.raises(DataError, match=r"expected a cache made by data/cache_latents\.py, found none"):
        trained(configure(toon_cache, tmp_path, latents=tmp_path / "nothing"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_written(dtype, tmp_path):
    source = torch.Generator().manual_seed(0)
    target, condition = torch.randn(3, 2, 4, 3, 5, generator=source), torch.randn(3, 2, 2, 4, 3, 5, generator=source)
    mask, ids = torch.rand(3, 1, 3, 5, generator=source), ("a/1", "é" * 200, "c/3")
    batch = LatentBatch(target.to(dtype), condition.to(dtype), mask, page_ids=ids, seeds=(7, 8, 9))
    cache = LatentCache(tmp_path, {"a": "b"}, 3, (3, 2, 4, 3, 5), str(dtype).removeprefix("torch."))
    cache.begin()
    cache.write(_part(batch, slice(1, 3)), (2, 0))
    assert cache.missing() == [1]
    with pytest.raises(DataError, match="1 of 3 rows are missing"):
        cache.finish()
    cache.begin()  # another process
    cache.write(_part(batch, slice(0, 1)), (1,))
    cache.finish()
    found = [LatentCache.open(tmp_path, {"a": "b"}).read(row, seed=row) for row in (1, 2, 0)]
    for number, one in enumerate(found):
        for name in ("target", "condition", "mask"):
            value = getattr(batch, name)[number : number + 1]
            assert torch.equal(getattr(one, name), value)
            assert getattr(one, name).dtype == value.dtype
    assert [one.page_ids[0] for one in found] == ["a/1", "é" * 128, "c/3"]
    assert [one.seeds for one in found] == [(1,), (2,), (0,)]


def _part(batch: LatentBatch, rows: slice) -> LatentBatch:
    parts: dict[str, Any] = {name: value[rows] for name, value in vars(batch).items() if value is not None}
    return replace(batch, **parts)


def test_processes_share_the_rows(toon_cache, tmp_path):
    cfg = configure(toon_cache, tmp_path)
    source, transform = config.build(cfg.data.datamodule.source), config.build(cfg.data.datamodule.transform)
    task = SimpleNamespace(encoder_key=lambda precision: precision)
    seen: list[int] = []
    for rank in range(3):
        views = ViewDataModule(source, transform, tmp_path / "cache", 2, 0)
        views.trainer = SimpleNamespace(global_rank=rank, world_size=3, lightning_module=task, precision="32-true")
        views.setup("predict")
        seen += [row for batch in views.predict_dataloader() for row in batch.seeds]
    assert sorted(seen) == list(range(16))


def test_a_batch_of_latents_is_left_as_it_is():
    model = tiny_model(conditioning_channels=9)
    batch = batch_of(1, 2)
    encoded = model.encode_batch(batch)
    assert encoded.target.shape == (2, 2, 4, 6, 4)
    assert encoded.condition.shape == (2, 2, 2, 4, 6, 4)
    assert encoded.mask.shape == (2, 1, 6, 4)
    assert model.encode_batch(encoded) is encoded
    first, second = (torch.full((2, 4, 6, 4), value) for value in (0.5, -1.0))
    assert torch.equal(model.draw_latents(encoded, first), model.encode(batch.target, first).float())
    expected = model.encode_condition(batch.condition, batch.mask, (first, second))
    assert torch.equal(model.draw_condition(encoded, (first, second)), expected)
