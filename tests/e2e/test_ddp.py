"""Two processes train what one trains with the same global batch, through train.py's own launcher."""

import pytest
import torch
from tiny.runs import QUIET, SMALLER, TINY, call_main, column, run_script

STEPS = 3
RUN = (
    "experiment=icp_lora64",
    *TINY,
    *QUIET,
    *SMALLER,
    "callbacks.sample_grid={pages:1,num_inference_steps:1}",
    f"callbacks.checkpoint.every_n_train_steps={STEPS}",
    "callbacks.ema.decay=0.9",
    "data.datamodule.global_batch_size=4",
    "optimizer._target_=torch.optim.SGD",
    "~optimizer.betas",
    "+optimizer.momentum=0.9",
    "optimizer.lr=0.05",
    "lr_scheduler.num_warmup_steps=0",
    f"trainer.max_steps={STEPS}",
    f"trainer.val_check_interval={STEPS}",
)
LOSS_TOLERANCE = 1e-6
"""Relative. A sample's loss is the same function of the sample in both; what differs is float32 rounding (1.2e-7), as
convolutions take 2 samples instead of 4 and a mean is one of 2 + 2 numbers. Seen: 1e-7."""
WEIGHT_TOLERANCE = 2e-5
"""Norm of the difference over norm of what training moved, tensor by tensor. Gradients are sums over samples and places
that nearly cancel, which makes more of the same rounding. Seen: 5e-6; half the gradient would be 0.5. SGD, as AdamW's
first steps divide a gradient by its own size and so blow up those that are rounding and nothing else."""
NOTHING = 1e-8
"""Norm of a movement by rounding alone: biases that a normalisation takes away again."""


@pytest.fixture(scope="module")
def folders(toon_cache, tmp_path_factory):
    import train

    places = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    common = [*RUN, f"paths.cache_dir={toon_cache}"]
    assert call_main(train, *common, f"paths.runs={places[0]}") is None
    two = ["trainer.devices=2", "trainer.strategy=ddp", f"paths.runs={places[1]}"]
    done = run_script("train.py", *common, *two, cwd=places[1])
    assert done.returncode == 0, done.stderr[-3000:]
    made = [list((place / "icp_lora64").iterdir()) for place in places]
    assert [len(runs) for runs in made] == [1, 1], "every process made a run folder of its own"
    return [runs[0] for runs in made]


@pytest.mark.parametrize("name", ["train/loss", "val/loss", "val/loss_t500"])
def test_losses_are_those_of_one_process(folders, name):
    one, two = (column(folder / "metrics.csv", name) for folder in folders)
    assert len(one) == (STEPS if name == "train/loss" else 2)
    assert one.keys() == two.keys()
    for step, value in one.items():
        assert two[step] == pytest.approx(value, rel=LOSS_TOLERANCE)


@pytest.mark.parametrize("average", [False, True], ids=["weights", "average"])
def test_weights_are_those_of_one_process(folders, average):
    saved = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in folders]
    averages = [item["callbacks"]["EMA"]["shadow_params"] for item in saved]
    one, two = averages if average else (list(item["state_dict"].values()) for item in saved)
    # LoRA's B starts at zero, and so does what the guider adds: what they are now is what training moved.
    names = list(saved[0]["state_dict"])
    moved = [index for index, name in enumerate(names) if "lora_B" in name or "brushnet" in name]
    for index in moved:
        difference = (one[index] - two[index]).norm()
        assert difference <= WEIGHT_TOLERANCE * one[index].norm() + NOTHING, names[index]
    assert sum(bool(one[index].norm() > 1000 * NOTHING) for index in moved) > 10
    for left, right in zip(one, two, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=NOTHING)
    assert saved[0]["global_step"] == saved[1]["global_step"] == STEPS


def test_the_run_folder_of_two_processes_is_complete(folders):
    one, two = ({str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} for folder in folders)
    assert one == two
    assert {"config.yaml", "run.json", "metrics.csv", "export/model_index.json", "checkpoints/last.ckpt"} <= two
