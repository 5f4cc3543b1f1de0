"""``hydra.main`` as our scripts need it: mistakes end in one line, and a start that fails leaves no folder.

Nothing here imports torch: what is wrong with a command line is said at once.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import takewhile
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from colorflow.config import CONFIGS, known_names, nearest, register_resolvers
from colorflow.utils.log import quiet_libraries

_FULL_ERROR = "HYDRA_FULL_ERROR"
_TRACES = {"log.txt", "config.yaml", "multirun.yaml"}
"""What a job that did nothing leaves in its folder."""

_COMPLAINTS = (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError)
"""What Hydra raises before a job begins: an override or a file of configs/ is wrong."""

_FRESH: ContextVar[list[Path]] = ContextVar("folders that this command makes, the innermost first")


def main(name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """Decorate a script's function as ``hydra.main`` does.

    What the user can mend ends in one line, Hydra's own complaints too; HYDRA_FULL_ERROR=1 shows where it came from.

    Args:
        name: Of ``configs/<name>.yaml``.
    """
    register_resolvers()
    quiet_libraries()

    def decorate(run: Callable[[DictConfig], None]) -> Callable[[], None]:
        @wraps(run)
        def command() -> None:
            asked = os.environ.get(_FULL_ERROR, "0")

            @wraps(run)
            def job(cfg: DictConfig) -> None:
                os.environ[_FULL_ERROR] = asked
                register_resolvers()  # submitit begins a job here, in a process of its own
                with one_line_errors():
                    run(cfg)

            os.environ[_FULL_ERROR] = "1"  # Hydra raises what is wrong with the command line, and does not print it
            try:
                with _no_folder_of_a_failed_start():
                    hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(job)()
            except _COMPLAINTS as error:
                if asked == "1":
                    raise
                sys.exit(f"ConfigError: {_told(name, error)}")
            finally:
                os.environ[_FULL_ERROR] = asked

        return command

    return decorate


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program in one line for what the user can mend.

    A job of a sweep says its line and leaves the end to Hydra, which first runs the other jobs.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if os.environ.get(_FULL_ERROR) == "1":
            raise
        line = f"{type(error).__name__}: {error}"
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            sys.exit(line)
        print(line, file=sys.stderr)
        raise


class FreshFolders(Callback):
    """Hydra's callback that notes which folders are not there yet, before Hydra makes those of a job or a sweep."""

    def on_run_start(self, config: DictConfig, **others: Any) -> None:
        """Of one job."""
        _note(config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **others: Any) -> None:
        """Of a sweep."""
        _note(config.hydra.sweep.dir)


def _note(folder: str) -> None:
    path = Path(folder).absolute()
    _FRESH.get([]).extend(takewhile(lambda place: not place.exists(), (path, *path.parents)))


@contextmanager
def _no_folder_of_a_failed_start() -> Iterator[None]:
    """After an error, remove the folders made for a job, and for the jobs of a sweep, that tell of a start alone."""
    token = _FRESH.set([])
    try:
        yield
    except BaseException:
        for folder in filter(Path.is_dir, _FRESH.get()):
            for place in (*filter(Path.is_dir, folder.iterdir()), folder):
                if {item.name for item in place.iterdir()} <= _TRACES:
                    shutil.rmtree(place)
        raise
    finally:
        _FRESH.reset(token)


def _told(name: str, error: Exception) -> str:
    """What is wrong with the command line, and the nearest name that is known."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        known = ", ".join(error.options)
        return f"{group}: expected one of {known}, got {choice!r}{nearest(choice, error.options)}"
    if key := re.search(r"Could not override '([^']+)'", str(error)):
        near = nearest(key[1], known_names(name))
        return f"unknown key {key[1]!r} on the command line{near} (see configs/ for the keys)"
    return "; ".join(line.strip() for part in (error, error.__cause__ or "") for line in str(part).splitlines() if line)
