"""The command line of the demo."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from colorflow.demo.limits import Limits

if TYPE_CHECKING:
    from colorflow.pipelines.recipes import Recipe

LOOPBACK = ("127.0.0.1", "localhost", "::1")
INSTALL = 'pip install -r requirements-demo.txt -e ".[demo]"'

_EXAMPLES = """examples:
  python -m colorflow.demo                                          (the small toon weights)
  python -m colorflow.demo --weights runs/quickstart/TIME/export
  python -m colorflow.demo --weights weights/gray --device cuda --dtype bfloat16 --steps 20
  python -m colorflow.demo --weights weights/gray --host 0.0.0.0 --port 8080 --max-pages 20

The page opens for this computer alone and asks nothing of the internet. Uploads and results lie in a temporary folder
that is deleted at the end. docs/demo.md has pictures.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until Ctrl-C; 0, or 1 after an error on stderr."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("gradio") is None:
        print(f"error: the demo needs Gradio, which is not installed: {INSTALL}", file=sys.stderr)
        return 1
    try:
        _serve(options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(options: argparse.Namespace) -> None:
    """Load the weights first: what is wrong with them is said before a page opens."""
    from colorflow.demo.studio import Studio  # imports that take seconds: --help does without
    from colorflow.pipelines.colorflow import load_pipeline
    from colorflow.utils.log import quiet_libraries

    quiet_libraries()
    limits = Limits(options.max_pages, options.max_references, options.max_megapixels, options.max_megabytes)
    pipeline = load_pipeline(
        options.weights,
        recipe(options.recipe, options.steps),
        options.keep_luminance,
        device=options.device,
        dtype=options.dtype,
        offload=options.offload,
    )
    from colorflow.demo.page import open_page  # needs Gradio

    with tempfile.TemporaryDirectory(prefix="colorflow-demo-") as folder:
        studio = Studio(pipeline, limits, Path(folder))
        with open_page(studio, options.host, options.port, options.share) as address, suppress(KeyboardInterrupt):
            print(f"Open {address} in a browser. {_who(options)} Ctrl-C ends it.", flush=True)
            threading.Event().wait()


def recipe(name: str, steps: int | None) -> Recipe:
    """A recipe by name, with a number of denoising steps of one's own.

    Raises:
        ValueError: For a number under 1.
    """
    from colorflow.pipelines.recipes import LEAN, RELEASED

    found = {"lean": LEAN, "released": RELEASED}[name]
    if steps is None:
        return found
    if steps < 1:
        raise ValueError(f"--steps: expected at least 1, got {steps}")
    return replace(found, sampling=replace(found.sampling, num_inference_steps=steps))


def _who(options: argparse.Namespace) -> str:
    if options.share:
        return "ANYONE who has the public address can use it, and uploads pass through Gradio's server."
    if options.host in LOOPBACK:
        return "Only this computer can."
    return f"Every computer that reaches {options.host} can use it: there is no password."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m colorflow.demo",
        description="Colour comic pages in a browser: upload pages and pages in colour, see what is looked at, colour, "
        "compare versions, download.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--weights",
        default="toon",
        metavar="EXPORT_FOLDER",
        help="what training exported, runs/NAME/TIME/export; "
        "default: toon, the small weights that come with the package",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: auto, the GPU where there is one)")
    add("--dtype", default="float32", choices=("float32", "bfloat16", "float16"), help="bfloat16 halves the memory")
    add("--offload", default="none", choices=("none", "stages"), help="stages: for a small GPU (docs/memory.md)")
    add(
        "--recipe",
        default="lean",
        choices=("lean", "released"),
        help="released: as the authors' demo (docs/inference.md)",
    )
    add("--steps", type=int, help="denoising steps; more take longer (default: 10)")
    add("--keep-luminance", action="store_true", help="only the colour is the model's; not for screentone")
    network = parser.add_argument_group("who can open it")
    network.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this computer)")
    network.add_argument("--port", type=int, help="default: the first free one from 7860")
    network.add_argument("--share", action="store_true", help="public address by Gradio's server: needs the internet")
    limits, most = parser.add_argument_group("limits of a visitor's uploads"), Limits()
    limits.add_argument("--max-pages", type=int, default=most.pages, help="pages (default: %(default)s)")
    limits.add_argument("--max-references", type=int, default=most.references, help="in colour (default: %(default)s)")
    limits.add_argument(
        "--max-megapixels", type=float, default=most.megapixels, help="a picture (default: %(default)g)"
    )
    limits.add_argument("--max-megabytes", type=float, default=most.megabytes, help="a file (default: %(default)g)")
    return parser
