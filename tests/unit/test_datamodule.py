"""The data module: the same batches on any workers and ranks, and resuming in the middle of an epoch."""

import pickle
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from tiny.comics import SIZE, BlockEncoder, write_chapters

from colorflow.data.chapters import DataError
from colorflow.data.datamodule import ComicDataModule
from colorflow.data.sources import ChapterSource
from colorflow.data.transforms import CanvasTransform
from colorflow.retrieval.retriever import SimilarityRetriever
from colorflow.styles.gray import GrayStyle


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_chapters(tmp_path_factory.mktemp("data") / "in", chapters=3, pages=5)


def module(root, batch=4, workers=0, seed=0, page_size=SIZE, held_out=1):
    source = ChapterSource(root, page_size, SimilarityRetriever(BlockEncoder()), root.parent / "cache", held_out)
    return ComicDataModule(source, CanvasTransform(SIZE, SIZE, GrayStyle()), batch, seed, workers)


def ready(root, rank=0, world_size=1, **options):
    data = module(root, **options)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size, global_step=0, accumulate_grad_batches=1)  # type: ignore[assignment]
    data.setup("fit")
    return data


def first(loader, count):
    return list(islice(loader, count))


def assert_equal(one, other):
    assert one.page_ids == other.page_ids
    assert one.seeds == other.seeds
    for name in ("target", "condition", "mask"):
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_batches_depend_neither_on_workers_nor_on_their_size(root):
    inline, workers = (first(ready(root, workers=count).train_dataloader(), 5) for count in (0, 2))
    for one, other in zip(inline, workers, strict=True):
        assert_equal(one, other)
    small = first(ready(root, batch=2).train_dataloader(), 4)
    large = first(ready(root, batch=8).train_dataloader(), 1)[0]
    assert torch.equal(torch.cat([batch.target for batch in small]), large.target)


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_global_batch_does_not_depend_on_ranks(root, world_size):
    single = first(ready(root).train_dataloader(), 4)
    ranks = [first(ready(root, rank, world_size).train_dataloader(), 4) for rank in range(world_size)]
    for number, batch in enumerate(single):
        parts = [rank[number] for rank in ranks]
        assert batch.seeds == tuple(seed for part in parts for seed in part.seeds)
        assert torch.equal(batch.target, torch.cat([part.target for part in parts]))
        assert torch.equal(batch.mask, torch.cat([part.mask for part in parts]))


def test_validation_is_fixed_whole_and_without_repeats(root):
    data = ready(root, batch=4)
    batches = list(data.val_dataloader())
    ids = [page_id for batch in batches for page_id in batch.page_ids]
    assert len(ids) == 5 == len(set(ids))
    shares = [list(ready(root, rank, 2).val_dataloader()) for rank in range(2)]
    assert sorted(page_id for share in shares for batch in share for page_id in batch.page_ids) == sorted(ids)
    assert len(shares[0]) == len(shares[1])
    grid = data.validation_batch([0, 3])
    assert grid.page_ids == (ids[0], ids[3])
    assert grid.seeds == (batches[0].seeds[0], [seed for batch in batches for seed in batch.seeds][3])
    assert not {page_id.split("/")[0] for page_id in ids} & set(data.train_samples.chapters)
    train_seeds = {seed for batch in first(data.train_dataloader(), 5) for seed in batch.seeds}
    assert not train_seeds & {seed for batch in batches for seed in batch.seeds}


def test_no_held_out_chapter_means_no_validation_loader(root):
    data = ready(root, held_out=0)
    assert data.val_dataloader() == []
    with pytest.raises(DataError, match="no chapter is held out"):
        data.validation_batch([0])


def test_the_samples_pickle_and_draw_nothing_from_the_global_generator(root):
    samples = ready(root).train_samples
    sample = pickle.loads(pickle.dumps(samples))[2]
    assert sample.page.tobytes() == samples[2].page.tobytes()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first(ready(root).train_dataloader(), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_does_not_fit_is_refused(root):
    with pytest.raises(ValueError, match=r"one page size, got \(64, 96\)"):
        module(root, page_size=(64, 96))
    with pytest.raises(ValueError, match="multiple of the 3 devices"):
        ready(root, 0, 3).train_dataloader()
    with pytest.raises(RuntimeError, match="call setup"):
        module(root).train_dataloader()
    data = ready(root, 0, 2)
    data.trainer._accelerator_connector = SimpleNamespace(use_distributed_sampler=True)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="use_distributed_sampler=False"):
        data.train_dataloader()


class Watcher(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, ...]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.seeds)
        return (batch.target.mean() - self.weight) ** 2

    def validation_step(self, batch, batch_idx):
        self.log("val", (batch.target.mean() - self.weight) ** 2, batch_size=len(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(root, folder, steps, checkpoint=None, accumulate=1, workers=0, **options):
    task, data = Watcher(), module(root, workers=workers, **options)
    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        use_distributed_sampler=False,
        check_val_every_n_epoch=None,
        val_check_interval=4,
        num_sanity_val_steps=0,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(task, data, ckpt_path=checkpoint, weights_only=False)
    trainer.save_checkpoint(folder / "last.ckpt")
    return task, data


@pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*GPU available.*")
@pytest.mark.parametrize(("accumulate", "workers"), [(1, 0), (2, 0), (1, 1)])
def test_a_run_that_stops_twice_sees_what_a_straight_run_sees(root, tmp_path, accumulate, workers):
    straight, _ = fit(root, tmp_path, 9, accumulate=accumulate)
    pieces = []
    for steps in (2, 5, 9):  # prefetched batches of the workers must not count
        checkpoint = tmp_path / "last.ckpt" if pieces else None
        task, data = fit(root, tmp_path, steps, checkpoint, accumulate, workers)
        assert data.state_dict()["batches"] == steps * accumulate
        pieces += task.seen
    assert len(straight.seen) == 9 * accumulate
    assert pieces == straight.seen
    assert torch.equal(task.weight, straight.weight)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 2}, {"held_out": 2}])
def test_resuming_another_sequence_is_refused(root, tmp_path, change):
    fit(root, tmp_path, 2)
    with pytest.raises(DataError, match="cannot resume at batch 2"):
        fit(root, tmp_path, 4, tmp_path / "last.ckpt", **change)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_accumulation_may_change_on_resume(root, tmp_path):
    straight, _ = fit(root, tmp_path / "a", 8)
    one, _ = fit(root, tmp_path / "b", 2)
    two, data = fit(root, tmp_path / "b", 5, tmp_path / "b" / "last.ckpt", accumulate=2)
    assert one.seen + two.seen == straight.seen
    assert data.consumed_batches == 8
