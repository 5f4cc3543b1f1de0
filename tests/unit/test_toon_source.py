"""Generated training pages and the generated benchmark: made once, whole, and apart from each other."""

from PIL import Image

from colorflow.data.sources import ToonSource
from colorflow.evaluation.bench.benchmark import read_benchmark
from colorflow.evaluation.bench.sources import existing_benchmark, toon_benchmark
from colorflow.retrieval.retriever import RandomRetriever
from colorflow.toon import ToonSpec
from colorflow.utils.hashing import digest_image

SIZE = (48, 72)


def source(folder, **options):
    options = {"chapters": 3, "pages": 2, "val_chapters": 1, "spec": ToonSpec(SIZE)} | options
    return ToonSource(folder / "toon", SIZE, RandomRetriever(), folder / "cache", **options)


def times(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.png")}


def test_pages_are_drawn_once_at_their_size_also_after_an_interruption(tmp_path):
    splits = source(tmp_path).splits()
    assert (len(splits.train), len(splits.val)) == (4, 2)
    drawn = times(tmp_path / "toon")
    assert len(drawn) == 6
    assert {Image.open(tmp_path / "toon" / path).size for path in drawn} == {SIZE}
    again = source(tmp_path).splits()
    assert times(tmp_path / "toon") == drawn
    assert again.train.fingerprint == splits.train.fingerprint
    next((tmp_path / "toon").glob("*.complete")).unlink()
    next((tmp_path / "toon").rglob("*.png")).unlink()
    assert source(tmp_path).splits().train.fingerprint == splits.train.fingerprint
    assert len(times(tmp_path / "toon")) == 6


def test_every_set_has_its_own_folder_and_is_the_same_anywhere(tmp_path):
    specs = [{"spec": ToonSpec((64, 96))}, {"spec": ToonSpec(SIZE, max_panels=3)}]
    roots = [source(tmp_path, **change).root for change in ({}, {"seed": 1}, {"pages": 3}, *specs)]
    assert len(set(roots)) == 5
    one, other = (source(tmp_path / name).splits().train.fingerprint for name in "ab")
    assert one == other
    assert source(tmp_path / "a", seed=1).splits().train.fingerprint != one


def test_the_benchmark_is_made_once_and_shares_no_page_with_training(tmp_path):
    asked = (tmp_path / "bench", 2, 2, ToonSpec(SIZE), 1000)
    root = toon_benchmark(*asked)
    made = times(root)
    assert toon_benchmark(*asked) == root == existing_benchmark(str(root))
    assert times(root) == made
    benchmark = read_benchmark(root)
    assert len(benchmark.chapters) == 2
    targets = [digest_image(Image.open(path)) for path in root.rglob("target/*.png")]
    assert len(set(targets)) == 4
    source(tmp_path).splits()
    trained = {digest_image(Image.open(path)) for path in (tmp_path / "toon").rglob("*.png")}
    assert not trained & set(targets)
