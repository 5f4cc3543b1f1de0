"""Shards behind a URL: the samples of the disk, also in workers of a loader; what a network does wrong."""

import pytest
from omegaconf import OmegaConf
from tiny.comics import SIZE, tiny_build, write_chapters
from tiny.server import serving
from torch.utils.data import DataLoader

from colorflow.config import ConfigError, check_folders
from colorflow.data.chapters import DataError
from colorflow.data.shards.build import build_shards
from colorflow.data.sources import ShardSource
from colorflow.utils import remote

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comics")
    build_shards(tiny_build(write_chapters(folder / "chapters"), ["ch1"]), folder / "shards", progress=False)
    return folder / "shards"


@pytest.fixture
def server(shards, monkeypatch):
    monkeypatch.setattr(remote, "_WAITS", (0.01, 0.01))
    with serving(shards) as server:
        yield server


def contents(dataset):
    return [
        (sample.page_id, sample.page.tobytes(), [(patch, image.tobytes()) for patch, image in sample.patches])
        for sample in map(dataset.__getitem__, range(len(dataset)))
    ]


def test_samples_are_those_of_the_disk_for_one_request_each(server, shards):
    near, far = (ShardSource(root, SIZE).splits() for root in (shards, server.url))
    assert far.train.fingerprint == near.train.fingerprint
    assert contents(far.train) == contents(near.train)
    assert contents(far.val) == contents(near.val)
    train = ShardSource(f"{server.url}/", SIZE).splits().train
    server.requests.clear()
    train[1]
    shard = train.shards[0]
    assert server.requests == [("GET", f"/{shard.path.name}", f"bytes={shard.offsets[1]}-{shard.offsets[2] - 1}")]


def test_workers_read_it_too(server):
    train = ShardSource(server.url, SIZE).splits().train
    train[0]  # the parent has used the network before it forks
    loader = DataLoader(train, batch_size=None, num_workers=2, collate_fn=lambda sample: sample.page_id)
    assert list(loader) == [train[place].page_id for place in range(len(train))]


def test_it_is_asked_again_where_the_network_fails(server):
    train = ShardSource(server.url, SIZE).splits().train
    name = train[0].page_id
    server.failing = 2
    assert train[0].page_id == name
    server.failing = 3
    with pytest.raises(DataError, match=r"sample 0: http.*train-000000.tar: cannot be read after 3 attempts \(.*503"):
        train[0]


def test_what_a_server_cannot_do_is_named(server):
    train = ShardSource(server.url, SIZE).splits().train
    server.ranges = False
    with pytest.raises(DataError, match="does not answer range requests"):
        train[1]
    with pytest.raises(DataError, match=r"other/index.json: expected a file, got FileNotFoundError.*build_shards"):
        ShardSource(f"{server.url}/other", SIZE).splits()


def test_every_byte_can_be_compared_first(server, shards):
    ShardSource(server.url, SIZE, verify=True).splits()
    tar = shards / "train-000000.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:5000] + b"?" + data[5001:])
    try:
        with pytest.raises(DataError, match="has changed since it was indexed"):
            ShardSource(server.url, SIZE, verify=True).splits()
    finally:
        tar.write_bytes(data)


@pytest.mark.parametrize(("key", "shards"), [("data.root", False), ("benchmark.root", True)])
def test_a_url_of_anything_but_shards_is_refused_before_a_model_is_built(key, shards):
    target = f"colorflow.data.sources.{'ShardSource' if shards else 'ChapterSource'}"
    cfg = OmegaConf.create({"data": {"root": "https://host/a", "datamodule": {"source": {"_target_": target}}}})
    OmegaConf.update(cfg, key, "https://host/pages")
    with pytest.raises(ConfigError, match=f"{key}: expected a folder, got https://host/pages; .* data=shards"):
        check_folders(cfg)
