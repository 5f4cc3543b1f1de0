"""Any program that colours a folder of pages, as a method: it is given folders, and the pictures it makes are taken.

The program runs without a shell, in an environment of its own, for a limited time, and what it says is kept. A program
that fails, hangs, or makes too few or too many pictures is an error that names its log; no page of that call is taken.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from PIL import Image

from colorflow.methods import MethodSpec, References, Rows, row_label
from colorflow.schema import PoolColorizer, ReferencePool
from colorflow.utils.hashing import digest_file, digest_json
from colorflow.utils.images import IMAGE_SUFFIXES, ImageError, load_image, natural_key, save_png

PLACES = ("pages", "references", "output")
"""What a template may name."""

_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")
"""Of our own Python, and wrong for another one."""

_GRACE = 10.0
"""Seconds between asking a program to end and ending it."""

_SHOWN = 3
_TAIL = 400


class CommandError(RuntimeError):
    """A program that did not do what was asked; the message has its log."""


@dataclass(frozen=True)
class Program:
    """How a program is run.

    Attributes:
        command: Template with ``{pages}``, ``{output}`` and, where it looks at them, ``{references}``; split as a
            shell would, but run without one.
        logs: Folder in which each run leaves ``run-NNN.log``.
        seconds: Time limit of a run.
        environment: Variables that it gets beside ours, without those of our Python.
        folder: Where it runs; None: where we do.

    Raises:
        ValueError: For a template that is not of this form, and a program that is not there.
    """

    command: str
    logs: Path
    seconds: float = 3600.0
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None

    def __post_init__(self) -> None:
        """Find out now what would fail after hours."""
        words = _words(self.command)
        if not self.seconds > 0:
            raise ValueError(f"command seconds: expected a time limit above 0, got {self.seconds}")
        if self.folder is not None and not Path(self.folder).is_dir():
            raise ValueError(f"command folder: expected a folder to run in, found none at {self.folder}")
        named = str(Path(self.folder or ".").absolute() / words[0]) if os.sep in words[0] else words[0]
        if shutil.which(named, path=self.variables.get("PATH")) is None:
            raise ValueError(
                f"command: expected a program that can be run, found none named {words[0]!r}; give its path"
            )

    @property
    def variables(self) -> dict[str, str]:
        """The program's environment."""
        own = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
        return own | {key: str(value) for key, value in self.environment.items()}

    def run(self, places: Mapping[str, str]) -> Path:
        """Run the program.

        Args:
            places: A value for each of `PLACES`.

        Returns:
            Its log.

        Raises:
            CommandError: If it cannot be started, exits with another status than 0, or takes too long.
        """
        words = [word.format_map(places) for word in _words(self.command)]
        with _new_log(self.logs) as log:
            path = Path(log.name)
            log.write("$ " + shlex.join(words).replace("\n", "\\n") + "\n")
            log.flush()
            start = time.monotonic()
            status = self._wait(words, log)
            log.write(f"\n[status {status} after {time.monotonic() - start:.1f} s]\n")
        if status is None:
            raise CommandError(
                f"command: expected an end within {self.seconds:g} s, got none, and it was stopped; raise its "
                f"option seconds, or see {path}{_tail(path)}"
            )
        if status != 0:
            raise CommandError(f"command: expected exit status 0, got {status}; see {path}{_tail(path)}")
        return path

    def _wait(self, words: Sequence[str], log: IO[str]) -> int | None:
        """The exit status; None where time ran out, and the program and all it started were ended."""
        try:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise CommandError(f"command: expected to start {words[0]}, got {error}; give a program's path") from error
        try:
            return process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


class CommandColorizer(PoolColorizer):
    """A program as a method; it is asked for all pages of a chapter that have the same references.

    Args:
        program: What is run.
        name: Row name.
    """

    whole_pools = True

    def __init__(self, program: Program, name: str = "command") -> None:
        self.program, self.name = program, name

    def colorize_batch(
        self, pages: Sequence[Image.Image], references: Sequence[ReferencePool], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """Colour pages of one pool in one run: ``{pages}/001.png`` and on, ``{references}/001.png`` and on.

        What is taken are the pictures of these names, any picture suffix, anywhere below ``{output}``. Seeds are not
        handed on: which pages go together depends on what was there already.

        Raises:
            CommandError: As `Program.run`, and for too few, too many or damaged pictures.
            ValueError: For pages of different pools.
        """
        if len({pool.key for pool in references}) != 1:
            raise ValueError("command: expected pages with the same references; ask for each pool by itself")
        with tempfile.TemporaryDirectory(prefix="colorflow-command-") as folder:
            places = {name: str(Path(folder) / name) for name in ("pages", "references", "output")}
            Path(places["output"]).mkdir()
            names = _write(pages, Path(places["pages"]))
            _write(references[0].pages, Path(places["references"]))
            log = self.program.run(places)
            return _collect(Path(places["output"]), names, log)


def rows(
    command: str,
    logs: str,
    references: References = "own",
    seconds: float = 3600.0,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    files: Sequence[str] = (),
    name: str = "command",
) -> Rows:
    """The row of a program; options, and ValueError, as for `Program`, whose logs lie in a folder of the row's name.

    Pages made with other ``files`` (its weights and sources) are not continued; an absent one is a FileNotFoundError.
    """
    absent = [file for file in files if not Path(file).is_file()]
    if absent:
        raise FileNotFoundError(f"method.files: expected files of the program, found none at {', '.join(absent)}")
    program = Program(command, Path(logs) / name, seconds, dict(environment or {}), folder)
    digests = [digest_file(file) for file in files]
    fingerprint = digest_json([command, dict(program.environment), folder, digests])
    label = row_label(name, "command", "Command")
    return {name: MethodSpec(lambda: CommandColorizer(program, name), references, fingerprint, label=label)}


def _words(command: str) -> list[str]:
    """The words of a template.

    Raises:
        ValueError: For one that cannot be split, names something else, or lacks pages or output.
    """
    try:
        words = shlex.split(command)
        named = {name for word in words for _, name, _, _ in string.Formatter().parse(word) if name is not None}
    except ValueError as error:
        raise ValueError(
            f"command: expected a command line, got {command!r} ({error}); check quotes and braces"
        ) from error
    wrong, absent = sorted(named - set(PLACES)), sorted({"pages", "output"} - named)
    if wrong or absent:
        got = f"{', '.join(f'{{{name}}}' for name in wrong)} in it" if wrong else f"none of {{{'}, {'.join(absent)}}}"
        raise ValueError(
            f"command: expected a template with {{pages}} and {{output}}, and {{references}} if need be, got "
            f"{got}; braces that the program is to see are doubled"
        )
    return words


def _write(pictures: Sequence[Image.Image], folder: Path) -> list[str]:
    """Write ``001.png`` and on; returns the stems."""
    folder.mkdir()
    names = [f"{number:03d}" for number in range(1, len(pictures) + 1)]
    for name, picture in zip(names, pictures, strict=True):
        save_png(picture, folder / f"{name}.png")
    return names


def _collect(folder: Path, names: Sequence[str], log: Path) -> list[Image.Image]:
    """The pictures of these names, and no others."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    stems = [path.stem for path in paths]
    found = f"{len(stems)} pictures in {{output}}"
    expected = f"command: expected {len(names)} pictures, one for each of {{pages}}, named {names[0]}.png and on"
    if missing := [name for name in names if name not in stems]:
        raise CommandError(f"{expected}, got {found} and none of {_listed(missing)}; see {log}{_tail(log)}")
    if len(stems) > len(names):
        others = [
            str(path.relative_to(folder)) for path in paths if path.stem not in names or stems.count(path.stem) > 1
        ]
        raise CommandError(f"{expected}, got {found}, too many: {_listed(others)}; let it write nothing else there")
    try:
        by_name = {path.stem: load_image(path, min_side=1) for path in paths}
    except ImageError as error:
        raise CommandError(
            f"command: expected whole pictures, got {Path(error.path).name}: {error.reason}; see {log}"
        ) from error
    return [by_name[name] for name in names]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names, key=natural_key)[:_SHOWN]) + more


def _tail(log: Path) -> str:
    """The last words of a log, in one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    said = " | ".join(line.strip() for line in lines if line.strip() and not line.startswith("[status "))
    return f", which ends: {said[-_TAIL:]}" if said else ", which is empty"


def _new_log(folder: Path) -> IO[str]:
    """The first log that is not there yet; also where several processes look for one."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + len(list(folder.glob("run-*.log")))
    while True:
        try:
            return (folder / f"run-{number:03d}.log").open("x", encoding="utf-8")
        except FileExistsError:
            number += 1


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started (its session); nothing where all have ended."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
