"""Draw what references are worth over training.

    python docs/make_curves.py OUTPUT.png 'LABEL=RUN[,RUN...]' ...

Each RUN is a run folder of train.py whose callbacks had ``reference_gap``; the runs of a label are its seeds: their
mean is a line, their range a band. The last measured values are printed as a table. Needs matplotlib.
"""

from __future__ import annotations

import csv
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Curve = dict[int, float]

PANELS = {"chroma_psnr": "chroma PSNR", "psnr": "PSNR"}


def read_run(run: Path) -> dict[str, Curve]:
    """Every ``val/`` column of a run by step, what was logged before a resume included."""
    curves: dict[str, Curve] = {}
    for file in sorted(run.glob("metrics*.csv")):
        with file.open() as lines:
            for row in csv.DictReader(lines):
                for name, value in row.items():
                    if name and name.startswith("val/") and value:
                        curves.setdefault(name.removeprefix("val/"), {})[int(row["step"]) + 1] = float(value)
    if "psnr_gap" not in curves:
        raise SystemExit(f"{run}: expected a run with val/psnr_gap in metrics.csv; train with callbacks.reference_gap")
    return curves


def band(runs: list[dict[str, Curve]], name: str) -> dict[int, tuple[float, float, float]]:
    """Least, mean and most over seeds at the steps that all of them have."""
    steps = sorted(set.intersection(*(set(run[name]) for run in runs)))
    values = {step: [run[name][step] for run in runs] for step in steps}
    return {step: (min(found), statistics.fmean(found), max(found)) for step, found in values.items()}


def draw(labelled: dict[str, list[dict[str, Curve]]], output: Path) -> None:
    """Two panels: right minus wrong references in chroma PSNR and in PSNR."""
    figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 3.6), layout="constrained")
    for panel, (metric, title) in zip(axes, PANELS.items(), strict=True):
        for label, runs in labelled.items():
            found = band(runs, f"{metric}_gap")
            least, mean, most = zip(*found.values(), strict=True)
            (line,) = panel.plot(list(found), mean, label=label)
            panel.fill_between(list(found), least, most, color=line.get_color(), alpha=0.2, linewidth=0)
        panel.axhline(0, color="0.6", linewidth=0.8)
        panel.set(title=f"{title}: right minus wrong references", xlabel="training step", ylabel="dB")
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(output, dpi=110)


def main(arguments: list[str]) -> None:
    """Draw and print."""
    if len(arguments) < 2 or not all("=" in argument for argument in arguments[1:]):
        raise SystemExit(__doc__)
    labelled = {}
    for argument in arguments[1:]:
        label, _, runs = argument.partition("=")
        labelled[label] = [read_run(Path(run)) for run in runs.split(",")]
    draw(labelled, Path(arguments[0]))
    headings = ("run", "seeds", "steps", "chroma PSNR right", "wrong", "none", "gap", "PSNR gap")
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    for label, runs in labelled.items():
        last = max(band(runs, "psnr_gap"))
        names = [*(f"chroma_psnr_{given}" for given in ("right", "wrong", "none", "gap")), "psnr_gap"]
        cells = [_cell(band(runs, name)[last], len(runs)) for name in names]
        print(f"| {label} | {len(runs)} | {last} | {' | '.join(cells)} |")


def _cell(found: tuple[float, float, float], seeds: int) -> str:
    least, mean, most = found
    return f"{mean:.2f}" if seeds == 1 else f"{mean:.2f} ({least:.2f} to {most:.2f})"


if __name__ == "__main__":
    main(sys.argv[1:])
