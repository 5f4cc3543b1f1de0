"""Settings of every test run: offline, few threads, nothing leaks from one test into the next."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # OmegaConf's own is made of it: composes faster

# Before any test module imports a library that reads them.
os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="offline", WANDB_SILENT="true", TOKENIZERS_PARALLELISM="false")
# Tensors here are small. Torch reads it at import; child processes (DDP, loaders) inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not walk through it again and again (a tenth of all time)."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter's end find all that there is."""
    gc.unfreeze()


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fills a new folder of a name, once for all workers of pytest; what is in it is not to be changed."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        place, done = shared / name, shared / f"{name}.done"
        with FileLock(f"{place}.lock"):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)  # of a worker that failed
                place.mkdir()
                fill(place)
                done.touch()
        return place

    return make


@pytest.fixture(scope="session")
def toon_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated chapters, their retrieval records and benchmark: shared by all runs of ``tiny.runs``."""
    return tmp_path_factory.mktemp("toon_cache")


@pytest.fixture(scope="session")
def mcv2_files(once: Once) -> tuple[Path, Path]:
    """Weights of MC-v2, generator and denoiser; not to be changed."""
    from tiny.ports import MCV2_FILES, write_mcv2

    folder = once("mcv2", write_mcv2)
    return folder / MCV2_FILES[0], folder / MCV2_FILES[1]


@pytest.fixture(scope="session")
def acdo_file(once: Once) -> Path:
    """Weights of ACDO; not to be changed."""
    from tiny.ports import write_acdo

    name = "ColorizeArtistic_gen.pth"
    return once("acdo", lambda folder: write_acdo(folder / name)) / name


@pytest.fixture(scope="session")
def style_weights(once: Once) -> Path:
    """The released folder's style networks, at full size, with random weights; not to be changed."""
    from tiny.styles import write_released

    return once("style_weights", write_released)


@pytest.fixture(autouse=True)
def _restore_torch_settings() -> Iterator[None]:
    """Undo what a test did to torch's process-wide settings, so that no test's result depends on another's."""
    yield
    torch = sys.modules.get("torch")
    if torch is None:
        return
    threads = int(os.environ["OMP_NUM_THREADS"])
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled():  # the call below imports the compiler: 15 s the first time
        torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)
