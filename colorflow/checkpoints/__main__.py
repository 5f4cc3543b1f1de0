"""``python -m colorflow.checkpoints import|export SRC DST``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from colorflow.checkpoints.ours import export_released
from colorflow.checkpoints.parts import Parts
from colorflow.checkpoints.released import import_released
from colorflow.utils.tensors import CheckpointError

_EXAMPLES = """examples:
  python -m colorflow.checkpoints import ColorFlow/GraySD weights/gray
  python -m colorflow.checkpoints import ColorFlow/sketch weights/sketch --base path/to/PixArt-XL-2-1024-MS
  python -m colorflow.checkpoints export runs/icp_lora64/TIME/export released/GraySD

Every tensor is accounted for: what is missing, unexpected or misshapen ends in one list, and nothing is written.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, or 1 after an error on stderr."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "import":
            parts = import_released(
                options.source,
                options.target,
                base=options.base,
                gsrp=not options.no_gsrp,
                image_encoder=options.image_encoder,
            )
        else:
            parts = export_released(options.source, options.target)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_summary(parts))
    print(f"written: {options.target}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m colorflow.checkpoints",
        description="Released ColorFlow folders (GraySD, sketch, shading) to export folders of this project, and back.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("import", help="released folder -> export folder that colorize and evaluate load")
    reading.add_argument("source", metavar="SRC", type=Path, help="folder such as GraySD, sketch or shading")
    reading.add_argument("target", metavar="DST", type=Path, help="new export folder")
    reading.add_argument("--base", help="hub id or folder of the base model (default: the released one's hub id)")
    reading.add_argument(
        "--image-encoder", type=Path, metavar="DIR", help="released image_encoder (default: the one in or beside SRC)"
    )
    reading.add_argument("--no-gsrp", action="store_true", help="do without super-resolution (MultiResNetModel.bin)")
    writing = commands.add_parser("export", help="export folder -> released layout, for the released inference code")
    writing.add_argument("source", metavar="SRC", type=Path, help="export folder, as training writes it")
    writing.add_argument("target", metavar="DST", type=Path, help="new folder")
    return parser


def _summary(parts: Parts) -> str:
    channels = parts.config[parts.layout.channels]
    lines = [f"guider: {len(parts.guider)} tensors, {channels} condition channels ({parts.layout.released_class})"]
    lines.append(f"lora: {len(parts.lora)} tensors, rank {parts.rank}")
    lines.append("gsrp: none" if parts.gsrp is None else f"gsrp: {len(parts.gsrp)} tensors")
    lines.append(
        f"image encoder: {parts.image_encoder or 'none; retrieval falls back to the paper’s open_clip encoder'}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
