"""Our ICP training step against a plain loop written the usual way: same model, same pages, one run.

    python perf/training.py                                            # toon, about two minutes of a CPU core
    python perf/training.py --device cuda --model sd15 --batch 8 16    # full size, random weights: needs a GPU
    python perf/training.py --rows "plain loop" "ours, NHWC"           # some rows, see --list

The plain loop keeps all weights in float32 under autocast, encodes the whole canvases of target and condition in every
step and cuts the window from their latents, has AdamW unfused and reads its loss at every step. Ours is the product:
ICPTask under Lightning's Trainer with its data module. Both clip gradients, neither averages weights. Random weights
cost what trained ones do. On the toon model the window is the whole canvas, so that both encode equal pictures.

Rows take turns, `--repeats` times, so that other work on the machine meets all alike; a ratio is the median over the
repeats, its range in brackets. CPU seconds are of this process alone, without loader processes. FLOPs are counted by
torch (2 a multiply-accumulate, nothing recomputed). MFU is these over `--peak-tflops`: on a GPU by the clock, of dense
bf16; on a CPU by CPU seconds, of what a matrix product of 1024 reaches in this run. Wait is what the loop stands before
its loader, by the clock.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig
from plain_loop import Plain
from rich.console import Console
from rich.table import Table
from step_clock import StepClock, Timing
from torch.utils.flop_counter import FlopCounterMode

from colorflow import config
from colorflow.data.latents import LatentWriter, ViewDataModule
from colorflow.tasks.dry_run import GPUS
from colorflow.utils.log import quiet_libraries

COMPILED = "model.compiled=[BasicTransformerBlock,ResnetBlock2D]"
QUIET = {"enable_checkpointing": False, "enable_progress_bar": False, "logger": False}
FAST = ("model.channels_last=true", COMPILED, "+trainer.benchmark=true")


@dataclass(frozen=True)
class Row:
    """A way to train.

    Attributes:
        name: In the table.
        overrides: Of the training's configuration.
        plain: The plain loop.
        cached: Latents come from a cache that is made before anything is timed.
    """

    name: str
    overrides: tuple[str, ...] = ()
    plain: bool = False
    cached: bool = False


PLAIN, OURS, CACHED = Row("plain loop", plain=True), Row("ours"), Row("ours, latents cached", cached=True)
FOR_GPUS = (
    Row("ours, NHWC", FAST[:1]),
    Row("ours, compiled", FAST[1:2]),
    Row("ours, latents cached, all for GPUs", FAST, cached=True),
)
ROWS = {row.name: row for row in (PLAIN, OURS, CACHED, *FOR_GPUS)}


class Timed(Callback):
    """A clock that Lightning carries."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """A step is done."""
        self.clock.after(trainer.global_step)


class Counted(FlopCounterMode, Callback):
    """FLOPs of a step, forward and backward, with nothing compiled."""

    def __init__(self) -> None:
        super().__init__(display=False)

    def on_train_batch_start(self, *_: Any) -> None:
        """Begin."""
        self.__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop."""
        self.__exit__(None, None, None)


class Ours:
    """The product's training, by its configuration."""

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg, self.task, self.data = cfg, config.build(cfg.task), config.build(cfg.data.datamodule)
        self.loader = self.data.train_dataloader

    def run(self, clock: StepClock) -> None:
        """Train for as many steps as the clock wants."""
        self.data.train_dataloader = lambda: clock.batches(self.loader())
        self._fit(Timed(clock), clock.total)

    def flops(self) -> int:
        """Of a sample."""
        counted = Counted()
        with torch.compiler.set_stance("force_eager"):
            self._fit(counted, 1)
        return counted.get_total_flops() // int(self.data.global_batch_size)

    def _fit(self, callback: Callback, steps: int) -> None:
        trainer = config.build(self.cfg.trainer, callbacks=[callback], max_steps=steps, limit_val_batches=0, **QUIET)
        trainer.fit(self.task, datamodule=self.data)
        self.task.to("cpu")
        del trainer
        gc.collect()  # it holds itself, and so the loader's processes


def configure(options: argparse.Namespace, row: Row, batch: int, work: Path) -> DictConfig:
    """The training's configuration for a row."""
    chapters = "data.datamodule.source"
    pages = [f"{chapters}.chapters=3", f"{chapters}.pages=4", f"{chapters}.val_chapters=1"]
    size = {"toon": [192, 288], "sd15": [512, 800]}[options.model]
    overrides = [f"model={options.model}", "weights=random", "data=toon", "retrieval=hog", *pages]
    overrides += [f"{chapters}.spec.size={size}", f"data.datamodule.global_batch_size={batch}"]
    overrides += [f"data.datamodule.num_workers={options.workers}", f"paths.runs={work}", f"seed={options.seed}"]
    overrides += [f"trainer.precision={options.precision}", "trainer.devices=1"]
    overrides += [f"trainer.accelerator={'gpu' if options.device == 'cuda' else 'cpu'}"]
    if row.plain:
        overrides += ["model.base.dtype=float32"]
    if row.cached:
        overrides += ["transform.views=1", f"data.latents={work}/latents-{batch}"]
    return config.compose_config("train", [*overrides, *row.overrides])


def write_cache(cfg: DictConfig) -> None:
    """Encode every page once, as ``data/cache_latents.py`` does, unless that has been done."""
    folder, settings = Path(cfg.data.latents), cfg.data.datamodule
    if folder.exists():
        return
    source, transform = config.build(settings.source), config.build(settings.transform)
    views = ViewDataModule(source, transform, folder, settings.global_batch_size, 0)
    trainer = config.build(cfg.trainer, callbacks=[LatentWriter()], **QUIET)
    trainer.predict(config.build(cfg.task), datamodule=views, return_predictions=False)


def measure(options: argparse.Namespace, batch: int, work: Path) -> tuple[dict[str, list[Timing]], dict[str, int]]:
    """Timings of each row, a repeat after the other, and FLOPs of a sample."""
    device = torch.device(options.device)
    loops: dict[str, Ours | Plain] = {}
    for name in options.rows:
        cfg = configure(options, ROWS[name], batch, work)
        if ROWS[name].cached:
            write_cache(cfg)
        loops[name] = Plain(cfg, device) if ROWS[name].plain else Ours(cfg)
    flops = {name: loop.flops() for name, loop in loops.items()}
    found: dict[str, list[Timing]] = {name: [] for name in loops}
    for _ in range(options.repeats):
        for name, loop in loops.items():
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            clock = StepClock(options.steps, batch, device)
            loop.run(clock)
            found[name].append(clock.timing())
    return found, flops


def peak_flops(options: argparse.Namespace) -> float:
    """FLOP/s of the device: as told, of the GPU's name, or measured on the CPU."""
    if options.peak_tflops:
        return float(options.peak_tflops) * 1e12
    if options.device == "cuda":
        name = torch.cuda.get_device_name()
        known = [peak for part, (peak, _) in GPUS.items() if part in name]
        if not known:
            raise SystemExit(f"--peak-tflops: expected the dense bf16 peak of {name}, which is none of {list(GPUS)}")
        return known[0] * 1e12
    dtype = torch.bfloat16 if "bf16" in options.precision else torch.float32
    square, best = torch.randn(1024, 1024, dtype=dtype), float("inf")
    for _ in range(8):
        start = time.process_time()
        square @ square
        best = min(best, time.process_time() - start)
    return 2 * 1024**3 / best


def table(found: dict[str, list[Timing]], flops: dict[str, int], title: str, peak: float) -> Table:
    """Every row beside the first."""
    shown, base = Table(title=title), next(iter(found.values()))
    heads = ("samples/s", "ratio", "CPU s a sample", "ratio", "GFLOP a sample", "MFU", "wait", "peak GB")
    for head in ("training", *heads):
        shown.add_column(head, justify="left" if head == "training" else "right")
    for name, timings in found.items():
        seconds = statistics.median(timing.seconds for timing in timings)
        ratios = [[getattr(one, key) / getattr(two, key) for one, two in zip(base, timings, strict=True)]
                  for key in ("seconds", "cpu_seconds")]  # fmt: skip
        clock, cpu = (f"{statistics.median(each):.2f} [{min(each):.2f}, {max(each):.2f}]" for each in ratios)
        wait = sum(timing.wait for timing in timings) / sum(timing.seconds for timing in timings)
        memory = max(timing.peak for timing in timings) / 1e9
        cpu_seconds = statistics.median(timing.cpu_seconds for timing in timings)
        cells = (f"{1 / seconds:.2f}", clock, f"{cpu_seconds:.3f}", cpu, f"{flops[name] / 1e9:.1f}")
        mfu = flops[name] / (seconds if memory else cpu_seconds) / peak  # only a GPU's allocator tells its peak
        cells += (f"{mfu:.1%}", f"{wait:.1%}", f"{memory:.1f}" if memory else "-")
        shown.add_row(name, *cells)
    return shown


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--model", choices=["toon", "sd15"], default="toon")
    parser.add_argument("--batch", type=int, nargs="+", default=[4], help="samples a step; a table for each")
    parser.add_argument("--precision", help="Lightning's; default bf16-mixed on a GPU, 32-true on a CPU")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a row in a repeat")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for MFU")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="+", help="names of rows; the first is what the others are compared with")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    options = parser.parse_args(arguments)
    options.precision = options.precision or ("bf16-mixed" if options.device == "cuda" else "32-true")
    options.rows = options.rows or [
        row.name for row in ROWS.values() if options.device == "cuda" or row not in FOR_GPUS
    ]
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"--rows: expected names among {list(ROWS)}, got {unknown}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each size of batch."""
    options = parse(arguments)
    if options.list:
        print("\n".join(ROWS))
        return
    quiet_libraries()
    peak = peak_flops(options)
    place = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as work:
        for batch in options.batch:
            found, flops = measure(options, batch, Path(work))
            title = (
                f"{options.model}, batches of {batch}, {options.precision}, {place}, at most {peak / 1e12:.3g} TFLOP/s"
            )
            Console(width=150).print(table(found, flops, title, peak))


if __name__ == "__main__":
    main()
