"""Build shards of many generated pages, kill the build in its middle, go on, and say what it took.

    python perf/sharding.py --folder DIR [--chapters 500] [--pages 40] [--ranks 2] [--plot PNG]

Pages are drawn once into ``DIR/pages``; some chapters then get a copy of a page, a page without colour and a damaged
file. ``data/build_shards.py`` runs under torchrun; when half of the pages are done, one of its processes is killed with
SIGKILL, and the same command is run again. CPU seconds and resident memory of the processes are read from /proc every
five seconds. The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from colorflow.toon import ToonSpec, write_chapters

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = str(ROOT / "data" / "build_shards.py")
SIZE = (96, 144)
INTERVAL = 5.0
TICKS = os.sysconf("SC_CLK_TCK")
MARKED = 25
"""One chapter in so many gets a copy, a page without colour and a damaged file."""


@dataclass
class Run:
    """One start of the build, as seen from outside.

    Attributes:
        memory: ``(seconds, {process: resident MB})`` at each look.
        cpu: CPU seconds of each process, as last seen.
        seconds: Wall time.
    """

    memory: list[tuple[float, dict[int, float]]] = field(default_factory=list)
    cpu: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0


def make_pages(folder: Path, chapters: int, pages: int) -> Path:
    """Draw the pages where they are not there, and mark some chapters."""
    root = folder / "pages"
    if not (folder / "pages.complete").exists():
        write_chapters(root, chapters, pages, seed=7, spec=ToonSpec(size=SIZE))
        (folder / "pages.complete").touch()
    for chapter in sorted(root.iterdir())[::MARKED]:
        Image.open(chapter / "003.png").save(chapter / "900.jpg", quality=60)
        Image.open(chapter / "004.png").convert("L").save(chapter / "901.png")
        (chapter / "902.png").write_bytes((chapter / "005.png").read_bytes()[:700])
    return root


def command(source: Path, output: Path, ranks: int) -> list[str]:
    """The build, as a user types it."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return [*launcher, SCRIPT, f"source={source}", f"output={output}", f"page_size=[{SIZE[0]},{SIZE[1]}]"]


def chapters_done(folder: Path) -> int:
    """Chapters that are on the disk with their record."""
    return sum(path.read_bytes().count(b'"chapter"') for path in folder.glob("records/*.jsonl"))


def pages_done(folder: Path) -> int:
    """Their samples; a line may be torn."""
    lines = (line for path in folder.glob("records/*.jsonl") for line in path.read_text().splitlines())
    return sum(len(json.loads(line).get("pages", ())) for line in lines if line.endswith("}"))


def workers(agent: int) -> list[int]:
    """Processes that torchrun has started."""
    return [int(pid) for pid in Path(f"/proc/{agent}/task/{agent}/children").read_text().split()]


def look(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def start(arguments: list[str], partial: Path, kill_at: int | None = None) -> Run:
    """Run the build to its end, or until ``kill_at`` chapters are written and a process is killed."""
    run, began = Run(), time.monotonic()
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, cwd=partial.parent) as agent:
        while agent.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                agent.wait(INTERVAL)
            try:
                seen = {pid: look(pid) for pid in workers(agent.pid) if agent.poll() is None}
            except FileNotFoundError:  # one has just ended
                continue
            run.cpu |= {pid: cpu for pid, (cpu, _) in seen.items()}
            run.memory.append((time.monotonic() - began, {pid: memory for pid, (_, memory) in seen.items()}))
            if kill_at is not None and chapters_done(partial) >= kill_at:
                os.kill(max(seen), signal.SIGKILL)
                kill_at = None
    run.seconds = time.monotonic() - began
    return run


def tell(name: str, run: Run, pages: int) -> None:
    """Print what a start took, and its memory by quarters of its time."""
    cpu = sum(run.cpu.values())
    print(f"{name}: {pages} pages in {run.seconds:.0f} s, {cpu:.0f} CPU s: {pages / cpu:.1f} pages a CPU second")
    for pid in run.cpu:
        series = [memory[pid] for _, memory in run.memory if pid in memory][6:]  # importing is over
        quarters = [series[len(series) * number // 4 : len(series) * (number + 1) // 4] for number in range(4)]
        told = ", ".join(f"{min(part):.0f} to {max(part):.0f}" for part in quarters if part)
        print(f"  process {pid}: resident MB by quarters of the time: {told}")


def draw(runs: list[Run], output: Path) -> None:
    """Resident memory of every process over time, one start after the other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    offset = 0.0
    for number, run in enumerate(runs):
        for place, pid in enumerate(sorted(run.cpu)):
            points = [(offset + seconds, memory[pid]) for seconds, memory in run.memory if pid in memory]
            label = f"process {place}" if number == 0 else None
            axes.plot(*zip(*points, strict=True), color=f"C{place}", label=label, linewidth=1.2)
        offset += run.seconds
        if run is not runs[-1]:
            axes.axvline(offset, color="0.5", linewidth=0.8, linestyle="--")
            axes.annotate("SIGKILL, same command again", (offset, 20), fontsize=8, color="0.3")
    axes.set(xlabel="seconds", ylabel="resident MB", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(output, dpi=110)


def main() -> None:
    """Draw, build, kill, go on, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--chapters", type=int, default=500)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    source = make_pages(options.folder, options.chapters, options.pages)
    output = options.folder / "shards"
    shutil.rmtree(output, ignore_errors=True)
    arguments, partial = command(source, output, options.ranks), output.with_name("shards.partial")
    first = start(arguments, partial, kill_at=options.chapters // 2)
    kept = pages_done(partial)
    finished = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.tar")}
    second = start(arguments, partial)
    report = json.loads((output / "report.json").read_text())
    again = sum((output / name).stat().st_mtime_ns != when for name, when in finished.items())
    total = sum(split["samples"] for split in report["splits"].values())
    tell("until the kill", first, kept)
    tell("after it", second, total - kept)
    print(
        f"of {len(finished)} shards finished before the kill {again} were written again; left out: {report['skipped']}"
    )
    if options.plot:
        draw([first, second], options.plot)


if __name__ == "__main__":
    main()
