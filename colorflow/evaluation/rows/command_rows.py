"""The row of any program that colours a folder of pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from colorflow.baselines.command import CommandColorizer, Program
from colorflow.evaluation.bench.benchmark import References
from colorflow.evaluation.rows.specs import MethodSpec
from colorflow.utils.hashing import digest_file, digest_json


def command_rows(
    command: str,
    logs: str,
    references: References = "own",
    seconds: float = 3600.0,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    files: Sequence[str] = (),
    name: str = "command",
) -> Mapping[str, MethodSpec]:
    """The row of a program.

    Args:
        command: As for `Program`.
        logs: Parent of the row's folder of logs.
        references: Which pool the row gets.
        seconds: As for `Program`.
        environment: As for `Program`.
        folder: As for `Program`.
        files: The program's weights and sources: pages made with others are not continued.
        name: Row name.

    Raises:
        ValueError: For a template or program that cannot be.
        FileNotFoundError: For one of the files.
    """
    absent = [file for file in files if not Path(file).is_file()]
    if absent:
        raise FileNotFoundError(f"method.files: expected files of the program, found none at {', '.join(absent)}")
    program = Program(command, Path(logs) / name, seconds, dict(environment or {}), folder)
    digests = [digest_file(file) for file in files]
    fingerprint = digest_json([command, dict(program.environment), folder, digests])
    return {name: MethodSpec(lambda: CommandColorizer(program, name), references, fingerprint)}
