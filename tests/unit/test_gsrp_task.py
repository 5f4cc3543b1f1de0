"""Training of guided super-resolution: pages, simulated input, loss, validation, checkpoints."""

import functools
import math
from typing import Any

import pytest
import torch
from PIL import Image
from tiny.comics import SIZE, draw_page
from tiny.models import VAE, noise
from tiny.runs import loader, trainer

from colorflow.data.chapters import DataError
from colorflow.data.page_transform import PageTransform
from colorflow.data.transforms import collate
from colorflow.metrics import psnr, ssim
from colorflow.models.gsrp.model import GSRPModel, upsample
from colorflow.schema import ColorizationSample, PageBatch
from colorflow.styles.gray import GrayStyle
from colorflow.tasks.degradation import ColorJitter, Degradation, Downsample, GaussianNoise, VaeRoundTrip, degrade
from colorflow.tasks.gsrp_task import GSRPTask, random_patches
from colorflow.utils.images import save_png, to_tensor

pytestmark = pytest.mark.filterwarnings("ignore:.*self.log.*", "ignore:.*num_workers.*", "ignore:.*eval mode.*")

SGD = functools.partial(torch.optim.SGD, lr=0.1)
STEPS: tuple[Degradation, ...] = (Downsample((16, 24)), ColorJitter(), VaeRoundTrip(), GaussianNoise())


def vae() -> Any:
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return AutoencoderKL(**VAE).eval()


def task(optimizer: Any = SGD, steps: tuple[Degradation, ...] = STEPS, **options: Any) -> GSRPTask:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return GSRPTask(GSRPModel.from_vae(vae()), steps, optimizer, **options)


def batch_of(*numbers: int) -> PageBatch:
    transform = PageTransform((32, 48), GrayStyle())
    return collate([transform(ColorizationSample(f"c/{n}", draw_page(n), ()), 0, n) for n in numbers])


def test_pages_in_colour_and_in_gray_join_and_move():
    transform = PageTransform([32, 48], GrayStyle())  # type: ignore[arg-type]
    batch = transform(ColorizationSample("c/1", draw_page(1), ()), 0, 5)
    assert batch.target.shape == batch.gray.shape == (1, 3, 48, 32)
    assert torch.equal(batch.target[0], to_tensor(draw_page(1)))
    assert torch.equal(batch.gray[0], to_tensor(draw_page(1).convert("L")))
    assert batch.low_res is None
    assert (batch.page_ids, len(batch)) == (("c/1",), 1)
    other = transform(ColorizationSample("c/1", draw_page(1), ()), 0, 6)
    assert batch.seeds != other.seeds
    assert transform.for_validation() is transform
    batch = batch_of(1, 2)
    assert batch.page_ids == ("c/1", "c/2")
    assert batch.low_res is None
    assert torch.equal(batch.target[1:], batch_of(2).target)
    assert batch.to(torch.float64).gray.dtype == torch.float64


def test_recorded_results_are_read(tmp_path):
    transform = PageTransform(SIZE, GrayStyle(), tmp_path, [16, 24])  # type: ignore[arg-type]
    sample = ColorizationSample("chapter/1", draw_page(1), ())
    with pytest.raises(DataError, match=r"found none at .*chapter.1\.png"):
        transform(sample, 0, 0)
    recorded = draw_page(7, (16, 24))
    save_png(recorded, tmp_path / "chapter" / "1.png")
    batch = transform(sample, 0, 0)
    assert batch.low_res is not None
    assert torch.equal(batch.low_res[0], to_tensor(recorded))
    joined = collate([batch, batch])
    assert joined.low_res is not None
    assert joined.low_res.shape == (2, 3, 24, 16)
    assert torch.equal(task().low_res(joined), joined.low_res), "a recorded result is not degraded"
    with pytest.raises(ValueError, match="expected low_res_size"):
        PageTransform(SIZE, GrayStyle(), tmp_path)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
@torch.no_grad()
def test_a_degraded_sample_does_not_depend_on_its_batch(step):
    images, seeds, network = noise(3, 3, 24, 16, seed=1).tanh(), (11, 12, 13), vae()
    together = step(images, seeds, network)
    torch.manual_seed(99)  # nothing may be drawn from the global generator
    alone = torch.cat([step(images[i : i + 1], seeds[i : i + 1], network) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.abs().max() <= 1
    other_seeds = step(images, (21, 22, 23), network)
    assert torch.equal(together, other_seeds) == isinstance(step, Downsample)


@torch.no_grad()
def test_degradations_do_what_they_say_in_order():
    network, page = vae(), to_tensor(draw_page(1))[None]
    small = Downsample((16, 24))(page, (1,), network)
    pillow = to_tensor(draw_page(1).resize((16, 24), Image.Resampling.BICUBIC))
    assert (small[0] - pillow).abs().max() < 2.5 / 255 * 2, "Pillow's filter, up to its rounding"
    assert torch.equal(ColorJitter(0, 0, 0)(page, (1,), network).round(decimals=5), page.round(decimals=5))
    flat = torch.full((1, 3, 16, 16), 0.25)
    shifted = ColorJitter(0.5, 0.5, 0.5)(flat, (1,), network)
    assert shifted.std() < 1e-6, "contrast and saturation leave a flat gray page flat"
    assert 0.01 < (shifted - flat).abs().max() <= 0.5
    gray = page.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    jittered = ColorJitter(0.2, 0.2, 0.9)(gray, (1,), network)
    assert (jittered - jittered[:, :1]).abs().max() < 1e-5, "gray gains no colour"
    noisy = GaussianNoise(0.2)(torch.zeros(1, 3, 64, 64), (1,), network)
    assert 0 < noisy.std() < 0.2
    plain, latent = (VaeRoundTrip(value)(small, (1,), network) for value in (0.0, 1.0))
    expected = network.decode(network.encode(small).latent_dist.mean).sample.clamp(-1, 1)
    torch.testing.assert_close(plain, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, latent, atol=1e-3)
    images, network = noise(1, 3, 24, 16).tanh(), vae()
    order = [GaussianNoise(), Downsample((8, 16))]
    expected = order[1](order[0](images, (1,), network), (1,), network)
    assert torch.equal(degrade(images, (1,), network, order), expected)
    assert degrade(images, (1,), network, ()) is images


def test_the_loss_is_l1_on_the_colour_page():
    subject, batch = task(), batch_of(1, 2, 3)
    loss = subject.training_step(batch, 0).item()
    with torch.no_grad():
        low = degrade(batch.target, batch.seeds, subject.model.vae, STEPS)
        pages = [subject.model(batch.gray[i : i + 1], low[i : i + 1]) for i in range(3)]
    expected = (torch.cat(pages) - batch.target).abs().mean().item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_it_learns():
    subject = task(functools.partial(torch.optim.Adam, lr=3e-3), (Downsample((16, 24)),))
    optimizer = subject.configure_optimizers()
    assert all(name.startswith("model.fusion.") for name in subject.trainable())
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = subject.training_step(batch_of(1, 2), 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_in_mixed_precision():
    subject = task()
    subject.model.vae.to(torch.bfloat16)
    before = {name: value.detach().clone() for name, value in subject.trainable().items()}
    fitting = trainer(max_steps=1, precision="bf16-mixed")
    fitting.fit(subject, loader(batch_of(1, 2)))
    assert math.isfinite(fitting.callback_metrics["train/loss"])
    assert all(value.dtype == torch.float32 for value in subject.trainable().values())
    assert any(not torch.equal(value, before[name]) for name, value in subject.trainable().items())


def validate(subject: GSRPTask, *batches: PageBatch) -> dict[str, float]:
    torch.manual_seed(len(batches))
    return trainer().validate(subject, loader(*batches), verbose=False)[0]  # type: ignore[return-value]


def test_validation_is_fixed_and_does_not_depend_on_the_batch_size():
    subject = task()
    whole, again = validate(subject, batch_of(1, 2, 3)), validate(subject, batch_of(1, 2, 3))
    uneven = validate(subject, batch_of(1, 2), batch_of(3))
    assert whole == again
    assert uneven == {name: pytest.approx(value, rel=1e-4, abs=1e-5) for name, value in whole.items()}
    batch = batch_of(1, 2, 3)
    with torch.no_grad():
        low = degrade(batch.target, batch.seeds, subject.model.vae, STEPS)
        found = subject.model.eval()(batch.gray, low)
    pages = [item.clamp(-1, 1) / 2 + 0.5 for item in (found, upsample(low, (48, 32)), batch.target)]
    assert whole["val/psnr"] == pytest.approx(psnr(pages[0], pages[2]).mean().item(), rel=1e-4)
    gain = ssim(pages[0], pages[2]) - ssim(pages[1], pages[2])
    assert whole["val/ssim_gain"] == pytest.approx(gain.mean().item(), abs=1e-4)
    assert whole.keys() == {"val/loss", "val/psnr", "val/ssim", "val/psnr_gain", "val/ssim_gain"}


def test_a_checkpoint_holds_the_running_statistics_too(tmp_path):
    subject = task()
    fitting = trainer(max_steps=2)
    fitting.fit(subject, loader(batch_of(1, 2), batch_of(3, 4)))
    fitting.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == {name for name in subject.state_dict() if name.startswith("model.fusion.")}
    other = task()
    trainer(max_steps=2).fit(other, loader(batch_of(1, 2)), ckpt_path=tmp_path / "last.ckpt")
    for name, value in saved.items():
        assert torch.equal(other.state_dict()[name], value), name
    statistics = next(name for name in saved if name.endswith("running_mean"))
    assert saved[statistics].any()
    del saved[statistics]
    with pytest.raises(ValueError, match=f"1 missing .first: {statistics}"):
        other.on_load_checkpoint({"state_dict": saved})


def test_lpips_is_loaded_and_added_only_with_a_weight(monkeypatch):
    def offline(*_: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity", offline)
    assert task().lpips is None
    with pytest.raises(RuntimeError, match=r"vgg16-397923af\.pth .* or set lpips_weight=0"):
        task(lpips_weight=0.1)

    class Distance(torch.nn.Module):
        def forward(self, preds: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (preds - target).square().mean()

    monkeypatch.setattr("colorflow.tasks.gsrp_task.PerceptualDistance", Distance)
    plain, weighted = task(), task(lpips_weight=2.0)
    batch = batch_of(1)
    with torch.no_grad():
        found = plain.model(batch.gray, plain.low_res(batch))
        expected = plain.training_step(batch, 0) + 2 * (found - batch.target).square().mean()
        assert weighted.training_step(batch, 0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert math.isfinite(expected)


def test_a_step_may_see_a_part_of_each_page():
    subject, batch = task(patch_size=[16, 20]), batch_of(1, 2)
    with torch.no_grad():
        loss = subject.training_step(batch, 0)
        whole = upsample(subject.low_res(batch), (48, 32))
        low, gray, target = random_patches((whole, batch.gray, batch.target), (16, 20), batch.seeds)
        assert loss.item() == pytest.approx((subject.model(gray, low) - target).abs().mean().item(), rel=1e-5)
    validated = {patch: validate(task(patch_size=patch), batch) for patch in (None, (16, 20))}
    assert validated[None] == validated[16, 20], "validation sees whole pages"


def test_parts_come_from_the_same_place_of_every_image_whatever_the_batch():
    places = torch.arange(48 * 32.0).reshape(1, 1, 48, 32).repeat(400, 1, 1, 1)
    seeds = tuple(range(400))
    part, other = random_patches((places, places + 0.5), (16, 20), seeds)
    assert part.shape == (400, 1, 20, 16)
    assert torch.equal(part + 0.5, other)
    corners = part[:, 0, 0, 0].long()
    assert torch.equal(part, corners[:, None, None, None] + places[:1, :, :20, :16]), "an upright window"
    rows, columns = corners // 32, corners % 32
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == [0, 28, 0, 16], "every place, and no other"
    alone = torch.cat([random_patches((places[:1],), (16, 20), (seed,))[0] for seed in seeds])
    assert torch.equal(part, alone)
    with pytest.raises(ValueError, match="expected at most the page's 32 x 48, got 33 x 20"):
        random_patches((places,), (33, 20), seeds)
