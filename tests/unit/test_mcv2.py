"""MC-v2: sizes, hints, weight files, and that a page depends on nothing but itself."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.batches import assert_as_alone
from tiny.benchmark import color_page

from colorflow.baselines.mcv2 import McV2, McV2Settings
from colorflow.baselines.mcv2.denoiser import LONGEST, denoise
from colorflow.baselines.mcv2.resize import network_size, pad_free_side, resize_area
from colorflow.schema import NATIVE_SIZE, ReferencePool
from colorflow.utils.hashing import digest_file
from colorflow.utils.tensors import CheckpointError

POOL = ReferencePool((), (), "")
SMALL = McV2Settings(size=32)


@pytest.fixture(scope="module")
def method(mcv2_files):
    return McV2.from_weights(*mcv2_files, device="cpu", settings=SMALL)


def gray_page(seed, size):
    return color_page(seed, size).convert("L").convert("RGB")


@pytest.mark.parametrize(
    ("page", "native"), [((40, 56), (32, 45)), ((56, 40), (68, 48)), ((64, 64), (32, 32)), ((17, 33), (32, 63))]
)
def test_results_have_the_pages_size_and_tell_their_own(method, page, native):
    result = method.colorize(gray_page(1, page), POOL, seed=0)
    assert (result.mode, result.size, result.info[NATIVE_SIZE]) == ("RGB", page, native)
    assert np.asarray(result).std() > 1


def test_a_page_depends_on_itself_alone(method):
    pages = [gray_page(seed, (40, 56)) for seed in (1, 2)]
    first = method.colorize(pages[0], POOL, seed=0).tobytes()
    other = ReferencePool(("a",), (color_page(5),), "a")
    torch.manual_seed(7)
    assert method.colorize(pages[1], other, seed=3).tobytes() != first
    assert method.colorize(pages[0], other, seed=3).tobytes() == first


def test_pages_of_one_size_go_together(method):
    pages = [gray_page(seed, size) for seed, size in enumerate([(40, 56), (56, 40), (40, 56)])]
    assert_as_alone(method, method.generator, pages, [POOL] * 3, [[0, 2], [1]])
    assert_as_alone(method, method.denoiser, pages, [POOL] * 3, [[0, 2], [1]])


def test_hints_colour_and_transparent_ones_do_not(method):
    page = gray_page(1, (40, 56))
    free = method.paint(page).tobytes()
    assert method.paint(page, Image.new("RGBA", page.size, (255, 0, 0, 0))).tobytes() == free
    red, blue = (Image.new("RGBA", page.size, color) for color in ((255, 0, 0, 255), (0, 0, 255, 255)))
    assert len({free, method.paint(page, red).tobytes(), method.paint(page, blue).tobytes()}) == 3
    with pytest.raises(ValueError, match=r"hint: expected the page's size \(40, 56\), got \(20, 20\)"):
        method.paint(page, Image.new("RGBA", (20, 20)))


def test_digests_are_those_of_the_files_and_the_denoiser_may_be_left_out(mcv2_files, method):
    generator, denoiser = mcv2_files
    assert method.digests == {"generator": digest_file(generator), "denoiser": digest_file(denoiser)}
    plain = McV2.from_weights(mcv2_files[0], None, device="cpu", settings=SMALL)
    assert plain.denoiser is None
    assert list(plain.digests) == ["generator"]
    page = gray_page(1, (40, 56))
    assert plain.colorize(page, POOL, seed=0).tobytes() != method.colorize(page, POOL, seed=0).tobytes()
    weak = McV2(method.generator, method.denoiser, McV2Settings(32, sigma=5))
    assert weak.colorize(page, POOL, seed=0).tobytes() != method.colorize(page, POOL, seed=0).tobytes()


def test_files_must_be_there_and_be_the_right_ones(mcv2_files, tmp_path):
    generator, denoiser = mcv2_files
    with pytest.raises(CheckpointError, match=r"method\.weights: expected MC-v2's generator.*found none"):
        McV2.from_weights(tmp_path / "none.zip", denoiser, "cpu")
    with pytest.raises(CheckpointError, match=r"method\.denoiser: expected .*denoiser.*set method\.denoiser=PATH"):
        McV2.from_weights(generator, tmp_path / "none.pth", "cpu")
    with pytest.raises(
        CheckpointError, match=r"expected 602 tensors, got 62\n  602 missing: .*\n  62 unexpected: inter"
    ) as info:
        McV2.from_weights(denoiser, denoiser, "cpu")
    assert "expected MC-v2's generator (generator.zip, as it is), got another network" in str(info.value)
    cut = tmp_path / "generator.zip"
    cut.write_bytes(generator.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"generator\.zip: truncated, damaged"):
        McV2.from_weights(cut, denoiser, "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 100}, "mcv2 size: expected a multiple of 32, got 100"),
        ({"size": 0}, "got 0"),
        ({"sigma": -1}, "mcv2 sigma: expected at least 0, got -1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        McV2Settings(**options)


def test_sizes_and_padding(method):
    assert network_size(400, 280, 320) == (686, 480)
    assert network_size(280, 400, 320) == (320, 458)
    tall = np.arange(64 * 32, dtype=np.float32).reshape(64, 32) / 2048
    padded, pad = pad_free_side(tall)
    assert pad == (32, 0), "a multiple of 32 gets 32 more"
    assert (padded[64:] == tall.max(axis=0)).all()
    wide, pad = pad_free_side(np.arange(48 * 70, dtype=np.uint8).reshape(48, 70))
    assert (pad, wide.shape) == ((0, 26), (48, 96))
    assert (wide[:, 70:] == wide[:, :70].max(axis=1, keepdims=True)).all()
    pixels = np.full((24, LONGEST + 100, 3), 0.5, dtype=np.float32)
    assert denoise(method.denoiser, [pixels], 25).shape == (1, 22, LONGEST, 3)
    odd = np.full((33, 17, 3), 0.5, dtype=np.float32)
    assert denoise(method.denoiser, [odd, odd], 25).shape == (2, *odd.shape)


def test_area_means_keep_the_mean_and_flat_pictures_stay_flat():
    random = np.random.default_rng(0)
    picture = random.random((60, 48, 3), dtype=np.float32)
    assert np.allclose(resize_area(picture, (16, 20)), picture.reshape(20, 3, 16, 3, 3).mean(axis=(1, 3)), atol=1e-6)
    assert resize_area(picture, (31, 47)).mean() == pytest.approx(picture.mean(), abs=1e-3)
    for size in ((31, 47), (16, 20), (100, 70), (100, 20)):
        flat = resize_area(np.full((60, 48, 3), 77, np.uint8), size)
        assert (flat.shape, flat.min(), flat.max()) == ((size[1], size[0], 3), 77, 77)
    halves = np.array([[0, 1], [1, 0]], np.uint8)
    assert resize_area(halves, (1, 1)) == 1, "0.5 is rounded up where both sides are halved"
