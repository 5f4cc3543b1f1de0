"""A loss that is not finite, through train.py: what the user is told, and the command that does the step again."""

import json
import re

from tiny import wandb as tiny_wandb
from tiny.faults import LEAN, Fault, last, with_callback
from tiny.runs import QUIET, TINY, call_main

import train


class Spoil(Fault):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if trainer.global_step == 1:
            batch.condition[1, 0, 0, 0] = float("nan")
            self.page = batch.page_ids[1]


def test_the_message_names_the_command_that_finds_the_sample(toon_cache, tmp_path, capsys):
    folder, spoil = tmp_path / "run", Spoil(tmp_path)
    common = [*TINY, *QUIET, *LEAN, f"paths.cache_dir={toon_cache}", f"paths.run_dir={folder}", "trainer.max_steps=3"]
    options = ["logger=wandb", "callbacks.checkpoint.every_n_train_steps=1"]
    with with_callback(spoil):
        message = call_main(train, "experiment=icp_lora64", *common, *options)
    assert message is not None
    assert message.startswith("NonFiniteLossError: loss is nan")
    assert spoil.page in message
    assert last(folder)["global_step"] == 1
    ((title, text),) = tiny_wandb.alerts(next((folder / "wandb").glob("offline-run-*")))
    assert title == "loss is not finite"
    assert f"NonFiniteLossError: {text}" == message
    command = re.search(r"python train\.py (replay=\S+)", message)
    capsys.readouterr()
    assert call_main(train, command[1]) is None
    said = " ".join(capsys.readouterr().out.split())
    assert spoil.page in said
    assert "batch.condition" in said
    record = json.loads((folder / "run.json").read_text())
    assert record["start_step"] == 0, "doing a step again changes nothing of the run"


def test_a_folder_that_is_none_is_said(tmp_path):
    message = call_main(train, f"replay={tmp_path / 'not_finite' / 'step_0000001'}")
    assert message is not None
    assert "replay: expected RUN_FOLDER/not_finite/step_" in message
