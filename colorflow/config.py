"""The one door to Hydra and OmegaConf: build objects, check keys, save what a run was made of."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException, MissingConfigException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from colorflow.moved import todays
from colorflow.utils.files import write_text_atomic
from colorflow.utils.hashing import digest_bytes
from colorflow.utils.remote import is_remote
from colorflow.utils.signatures import parameter_names

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
_GIVEN_FOLDERS = ("data.root", "benchmark.root", "pages", "references")
_LAYERED = "experiment"  # the group that only changes values of the others
_OF_ONE_RUN = ("experiment", "then", "resume", "paths.run_dir", "benchmark", "method", "metrics")
"""Overrides that a run does not share with the one after it: what it is, and the evaluation of both."""


class ConfigError(ValueError):
    """A configuration that cannot be used: what, expected, got, remedy."""


def register_resolvers() -> None:
    """Make the resolvers of our configs known; called once, before Hydra composes."""
    OmegaConf.register_new_resolver("asset", _asset, replace=True)
    OmegaConf.register_new_resolver("digest", _digest, replace=True)
    OmegaConf.register_new_resolver("frozen_dtype", _frozen_dtype, replace=True)
    OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)


def build(node: Any, **arguments: Any) -> Any:
    """Instantiate a node's ``_target_`` (nested ones too); plain containers inside.

    Raises:
        OSError, ValueError: As the target raised it, without Hydra's wrapping.
    """
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        while isinstance(cause, InstantiationException):
            cause = cause.__cause__
        raise (cause if isinstance(cause, OSError | ValueError) else error) from None


def check_complete(cfg: DictConfig, ignore: Sequence[str] = ()) -> None:
    """Fail on values that only the user can give.

    Raises:
        ConfigError: Naming all of them.
    """
    missing = sorted(set(_missing(OmegaConf.to_container(cfg, resolve=False))) - set(ignore))
    if missing:
        raise ConfigError(f"missing {', '.join(missing)}: set {' '.join(f'{key}=...' for key in missing)}")


def check_folders(cfg: DictConfig) -> None:
    """Fail on a folder of pages that is not there, before anything is imported, built or downloaded.

    Raises:
        ConfigError: Naming the key.
    """
    source = str(OmegaConf.select(cfg, "data.datamodule.source._target_"))
    for key in _GIVEN_FOLDERS:
        folder = OmegaConf.select(cfg, key)
        if folder is None or Path(folder).is_dir():
            continue
        if not is_remote(folder):
            raise ConfigError(f"{key}: expected a folder, found none at {folder}; set {key}=DIR")
        if key != "data.root" or not source.endswith(".ShardSource"):
            raise ConfigError(
                f"{key}: expected a folder, got {folder}; of URLs only those of shards are read, by data=shards"
            )


def compose_config(name: str, overrides: list[str]) -> DictConfig:
    """Compose ``configs/<name>.yaml`` with command-line style overrides (tests and notebooks)."""
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(name, overrides, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        check_keys(cfg)
    OmegaConf.set_struct(cfg, False)
    cfg.pop("hydra")
    return cfg


def following(cfg: DictConfig) -> list[DictConfig]:
    """The runs that come after a run: the experiment that it names as ``then``, that one's ``then``, and so on.

    Each is composed under the same command line, in the folder ``<run folder>/<its name>``, and adds its part to the
    export of the first.

    Raises:
        ConfigError: For unknown keys, and for a run without an export that the next could add to.
    """
    if cfg.then is None:
        return []
    job = HydraConfig.get()
    own = re.compile(rf"[+~]*({'|'.join(map(re.escape, _OF_ONE_RUN))})(\.|=|$)")
    given = [item for item in job.overrides.task if not own.match(item)]
    try:
        run = compose(job.job.config_name, [*given, f"experiment={cfg.then}"], return_hydra_config=True)
    except MissingConfigException as error:
        raise ConfigError(f"then: expected one of {', '.join(error.options or ())}, got {cfg.then!r}") from None
    check_keys(run, run.hydra)
    OmegaConf.set_struct(run, False)
    run.pop("hydra")
    run.paths.run_dir = str(Path(cfg.paths.run_dir) / cfg.then)
    run.resume = None  # it goes on where its own folder holds a checkpoint
    export = OmegaConf.select(run, "callbacks.export")
    if export is None or "colorizer" not in export:
        raise ConfigError(
            f"then={cfg.then}: expected callbacks with an export that takes a colorizer, got none; set "
            "callbacks=default"
        )
    export.folder = export.colorizer = OmegaConf.select(cfg, "callbacks.export.folder")
    return [run, *following(run)]


def check_keys(cfg: DictConfig, runtime: Any = None) -> None:
    """Fail on a key that an experiment file invents.

    Hydra rejects unknown keys on the command line, but merges those of a config file silently, so that a
    mistyped learning rate would train with the default.

    Args:
        cfg: Composed configuration.
        runtime: Its ``hydra`` node; default: that of the running job.

    Raises:
        ConfigError: Naming the key and the nearest known one.
    """
    runtime = runtime or HydraConfig.get()
    groups = {name: choice for name, choice in runtime.runtime.choices.items() if not name.startswith("hydra/")}
    added = {item[1:].partition("=")[0] for item in runtime.overrides.task if item.startswith("+")}
    plain = [
        f"{'+' * (name in added)}{name}={choice}"
        for name, choice in groups.items()
        if choice is not None and name != _LAYERED
    ]
    sources = tuple(source.path for source in runtime.runtime.config_sources)
    known = _plain(sources, runtime.job.config_name, tuple(item for item in plain if not item.startswith("hydra=")))
    names = {path for path, _ in _paths(known)}
    for path, owner in _paths(cfg):
        if path in names or path.split(".")[0] == "hydra" or _holds(known, path) or _is_value(known, path):
            continue
        if _accepted(owner, path.rsplit(".", 1)[-1]):
            continue
        near = nearest(path, (item for item, _ in _paths(known)))
        raise ConfigError(f"unknown key {path!r} in the composed configuration{near} (see configs/ for the keys)")


def known_names(name: str) -> list[str]:
    """Every key and group of ``configs/<name>.yaml``, as the command line takes them."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(name, return_hydra_config=True)
    groups = [str(group) for group in cfg.hydra.runtime.choices]
    return [*groups, *(path for path, _ in _paths(cfg) if not path.startswith("hydra."))]


def nearest(name: str, known: Iterable[str]) -> str:
    """What an error says of the known name that is most like the one given; nothing where none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def output_dir() -> str:
    """Hydra's folder of this job: the same for all processes of a run (DDP), its own for every job of a sweep."""
    return str(HydraConfig.get().runtime.output_dir)


def save_config(cfg: DictConfig, path: Path) -> None:
    """Write the resolved configuration."""
    write_text_atomic(OmegaConf.to_yaml(cfg, resolve=True), path)


def load_config(path: Path) -> dict[str, Any]:
    """Read a saved configuration as plain containers, also one that an earlier version has saved."""
    return todays(to_dict(OmegaConf.load(path)))


def refers_to(node: Any, key: str) -> bool:
    """Whether a value in a node is taken from a key at the top of the configuration."""
    return f"${{{key}}}" in str(OmegaConf.to_container(node, resolve=False))


def items(node: DictConfig) -> Iterator[tuple[str, Any]]:
    """Keys and nodes in a node, without those that are null."""
    return ((str(key), part) for key, part in node.items() if part is not None)


def to_dict(cfg: Any) -> Any:
    """Plain, resolved containers of a node; a value as it is."""
    return OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg


@cache
def _plain(sources: tuple[str, ...], name: str, options: tuple[str, ...]) -> DictConfig:
    """A main file with options of its groups and nothing else; not to be changed. ``sources`` are part of its name."""
    return compose(name, list(options))


def _missing(tree: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys that are ``???``; not those that refer to such keys (OmegaConf's own search stumbles over these)."""
    for key, value in tree.items():
        if value == "???":
            yield f"{prefix}{key}"
        elif isinstance(value, dict):
            yield from _missing(value, f"{prefix}{key}.")


def _holds(cfg: DictConfig, path: str) -> bool:
    """Whether a dotted key is there, whatever its value (also ``???``)."""
    parent, _, name = path.rpartition(".")
    owner = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(owner, DictConfig) and name in owner.keys()  # noqa: SIM118 (`in owner` is False for ???)


def _is_value(cfg: DictConfig, path: str) -> bool:
    """Whether a dotted key is inside of what was given for a key that is null by itself: a mapping as a value."""
    parent = path.rpartition(".")[0]
    return bool(parent) and _holds(cfg, parent) and OmegaConf.select(cfg, parent) is None


def _paths(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every dotted key with the raw (unresolved) node that holds it."""
    for key in cfg.keys():  # noqa: SIM118 (iterating itself would resolve values)
        raw = cfg._get_node(str(key))
        path = prefix + str(key)
        yield path, cfg
        if isinstance(raw, DictConfig) and not raw._is_interpolation() and not raw._is_none():
            yield from _paths(raw, f"{path}.")


def _accepted(owner: DictConfig, name: str) -> bool:
    """Whether the owner's ``_target_`` has a parameter of that name (an option that the base file leaves out)."""
    target = owner.get("_target_")
    if target is None:
        return False
    names = parameter_names(target)  # a typing mistake is to be told at once: importing it could take seconds
    return name in (inspect.signature(get_object(target)).parameters if names is None else names)


def _asset(name: str) -> str:
    """Path of a file or folder that ships with the package."""
    return str(Path(__file__).resolve().parent / "assets" / name)


def _digest(path: str) -> str:
    """A name for a path, made of letters and digits: the same for all who mean the same one."""
    return digest_bytes(str(Path(path).resolve()).encode())[:16]


def _frozen_dtype(precision: str) -> str:
    """Frozen networks are kept in the precision that they are computed in."""
    return {"bf16-mixed": "bfloat16", "16-mixed": "float16"}.get(str(precision), "float32")


def _run_dir(resume: str | None, fresh: str) -> str:
    """A resumed run goes on in its own folder."""
    return str(resume) if resume else fresh
