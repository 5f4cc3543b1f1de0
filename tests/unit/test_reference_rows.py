"""EBMC and ScreenVAE colorization as rows: official files alone, whole and unharmed; references; any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from tiny.baselines import retriever, small_ebmc, small_networks, small_screens, write_ebmc, write_screens
from tiny.batches import assert_as_alone, passes_of
from tiny.benchmark import color_page, colored_pool

from colorflow.baselines.ebmc import EbmcColorizer, load_ebmc
from colorflow.baselines.ebmc import rows as ebmc_rows
from colorflow.baselines.ebmc.panels import find_panels
from colorflow.baselines.lab import lightness, to_lab, to_page
from colorflow.baselines.nearest import NoReferenceError, nearest_page
from colorflow.baselines.screenvae import ScreenVAEColorizer, load_screen_to_color
from colorflow.baselines.screenvae import rows as screenvae_rows
from colorflow.retrieval.retriever import reference_pool
from colorflow.retrieval.settings import RetrievalSettings
from colorflow.schema import NATIVE_SIZE
from colorflow.styles.networks import CODE_FILE, COLOR_FILE, ENCODER_FILE, LINE_FILE
from colorflow.utils.tensors import CheckpointError

HOG = RetrievalSettings("hog")
VGG = "vgg.vgg_model.features.0.weight"


@pytest.fixture(scope="module", autouse=True)
def _small():
    with small_networks():
        yield


@pytest.fixture(scope="module")
def ebmc_file(tmp_path_factory):
    return write_ebmc(tmp_path_factory.mktemp("ebmc") / "074000_gray.pt")


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    return write_screens(tmp_path_factory.mktemp("released"))


def gray(seed=5, size=(40, 56)):
    return color_page(seed, size).convert("L").convert("RGB")


def build(rows):
    (spec,) = rows.values()
    return spec.build()


def ebmc(file):
    return build(ebmc_rows(str(file), HOG, size=32, device="cpu"))


def screenvae(root, **options):
    return build(screenvae_rows(str(root), HOG, device="cpu", **options))


@pytest.mark.parametrize("size", [(40, 56), (33, 17), (16, 300)])
def test_pages_keep_their_size_and_depend_on_the_reference(ebmc_file, screens, size):
    page = gray(size=size)
    for method in (ebmc(ebmc_file), screenvae(screens), screenvae(screens, height=40)):
        first = method.colorize(page, colored_pool(1, size), seed=0)
        assert (first.mode, first.size) == ("RGB", size)
        other = reference_pool(["x"], [ImageOps.invert(colored_pool(1, size).pages[0])])
        assert method.colorize(page, other, seed=0).tobytes() != first.tobytes()


def test_ebmc_keeps_lightness_where_the_gamut_lets_it(ebmc_file):
    page = Image.new("RGB", (40, 56), (128, 128, 128))
    result = ebmc(ebmc_file).colorize(page, colored_pool(), seed=0)
    levels = np.asarray(result)
    inside = ((levels > 0) & (levels < 255)).all(axis=2)
    assert inside.mean() > 0.5
    assert np.abs(to_lab(result)[..., 0] - to_lab(page)[..., 0])[inside].max() < 1


@pytest.fixture
def chapter():
    """Pages, of which the first and the last go together, and pools that hold other colours."""
    pages = [gray(seed, size) for seed, size in enumerate([(300, 56), (40, 56), (300, 56)])]
    pool = colored_pool(2)
    return pages, [pool, pool, reference_pool(pool.ids, [ImageOps.invert(page) for page in pool.pages])]


def test_pages_go_together(ebmc_file, screens, chapter, monkeypatch):
    """Lines of random weights jump by levels where a page differs by rounding: here pages are their own lines."""
    monkeypatch.setattr("colorflow.baselines.screenvae.draw_lines", lambda network, page: page)
    (first, *_), (pool, _, inverted) = chapter
    squared, sized = ebmc(ebmc_file), screenvae(screens)
    assert_as_alone(squared, squared.networks.colorUNet, *chapter, [[0, 1, 2]])
    assert_as_alone(sized, sized.networks.colors, *chapter, [[0, 2], [1]])
    for method in (squared, sized):
        one, other = method.colorize_batch([first, first], [pool, inverted], seeds=[1, 1])
        assert one.tobytes() != other.tobytes(), "each has its own reference"


def test_each_page_of_a_batch_has_its_own_noise(screens):
    method = screenvae(screens)
    for name, weight in method.networks.colors.named_parameters():
        if name.endswith("noise.weight"):
            weight.mul_(1000)  # so that it shows
    page, pool = gray(size=(300, 56)), colored_pool(1)
    _, (output,) = passes_of(
        method.networks.colors, lambda: method.colorize_batch([page] * 3, [pool] * 3, seeds=[1, 2, 1])
    )
    differs, equal = ((output[0] - output[number]).abs().max() for number in (1, 2))
    assert differs > 100 * equal


def test_lines_of_pages_together_are_those_of_each(screens):
    network = screenvae(screens).networks.lines
    pages = 255 * torch.rand(3, 1, 48, 32, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([network(page[None]) for page in pages])
    torch.testing.assert_close(network(pages), alone, rtol=0, atol=5e-3 * alone.std().item())


def test_the_seed_is_no_part_of_ebmc_and_a_part_of_screenvae(ebmc_file, screens):
    def differ(method, page, pool):
        return method.colorize(page, pool, seed=1).tobytes() != method.colorize(page, pool, seed=2).tobytes()

    page, pool = gray(), colored_pool()
    assert not differ(ebmc(ebmc_file), page, pool)
    assert differ(screenvae(screens, code="random"), page, pool)
    assert not differ(screenvae(screens, draws="none"), page, pool)
    wide = gray(size=(300, 56))  # noise is drawn for an innermost map of more than one pixel
    assert differ(screenvae(screens), wide, pool)
    method = screenvae(screens, code="random")
    assert method.colorize(page, pool, seed=3).tobytes() == method.colorize(page, pool, seed=3).tobytes()


def test_random_codes_have_the_released_scale(screens):
    method = screenvae(screens, code="random")
    codes = torch.cat([method._code(gray(), colored_pool(), seed) for seed in range(2000)])
    assert codes.std().item() == pytest.approx(1.25 * math.sqrt(0.9733), rel=0.02)  # of a normal cut off at 3 sigma
    assert codes.abs().max() <= 3.75


def test_without_references_the_error_says_what_to_do(ebmc_file, screens):
    for method in (ebmc(ebmc_file), screenvae(screens)):
        with pytest.raises(NoReferenceError, match=r"at least one reference page, got none; .*references=own"):
            method.colorize(gray(), colored_pool(0), seed=0)
    assert screenvae(screens, code="random").colorize(gray(), colored_pool(0), seed=0).size == (40, 56)


def test_the_nearest_page_is_the_page_itself():
    pool = colored_pool(5)
    for page in pool.pages:
        assert nearest_page(page.convert("L").convert("RGB"), pool, retriever()) is page


def test_lab_there_and_back():
    page = color_page(1)
    lab = to_lab(page)
    assert to_page(lab[..., 0], lab[..., 1:]).tobytes() == page.tobytes()
    assert np.array_equal(lightness(page), lightness(page.convert("L")))
    assert np.allclose(lightness(page), to_lab(page.convert("L").convert("RGB"))[..., 0])


@pytest.fixture
def spoil(ebmc_file, tmp_path):
    """The EBMC file with a change."""

    def change(part, action):
        state = torch.load(ebmc_file, weights_only=True)
        action(state if part is None else state[part])
        torch.save(state, tmp_path / "spoiled.pt")
        return tmp_path / "spoiled.pt"

    return change


@pytest.mark.parametrize(
    ("part", "action", "said"),
    [
        ("colorUNet", lambda state: state.pop("outc.0.bias"), "1 missing: colorUNet.outc.0.bias"),
        (
            "colorEncoder",
            lambda state: state.update({VGG: state[VGG] + 1}),
            "equal copies of the VGG, got 1 that differ",
        ),
        (None, lambda state: state.pop("colorUNet"), "mapping with colorEncoder, colorUNet, got colorEncoder"),
        (None, lambda state: state.update(colorUNet=3), "[colorUNet]: expected a mapping of names to tensors, got int"),
    ],
)
def test_a_foreign_ebmc_file_is_refused_by_name(spoil, part, action, said):
    with pytest.raises(CheckpointError) as caught:
        ebmc_rows(str(spoil(part, action)), HOG)
    assert all(piece in str(caught.value) for piece in said.split("|"))
    assert "spoiled.pt" in str(caught.value)


def test_damaged_and_missing_ebmc_files(ebmc_file, tmp_path):
    (tmp_path / "cut.pt").write_bytes(ebmc_file.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=r"cut\.pt: truncated, damaged"):
        ebmc_rows(str(tmp_path / "cut.pt"), HOG)
    for given in (None, str(tmp_path / "none.pt")):
        with pytest.raises(CheckpointError, match=r"set method\.weights") as caught:
            ebmc_rows(given, HOG)
        assert "\n" not in str(caught.value)


def test_what_else_an_ebmc_file_holds_is_not_looked_at(spoil):
    rows = ebmc_rows(str(spoil(None, lambda state: state.update(step=74000))), HOG)
    assert list(rows) == ["ebmc"]


def test_the_classifier_is_dropped(ebmc_file):
    with torch.device("meta"):
        networks = small_ebmc()
    load_ebmc(ebmc_file, networks)
    assert not any("classifier" in name for name, _ in networks.named_parameters())
    assert not any(tensor.is_meta for tensor in networks.state_dict().values())


@pytest.mark.parametrize("name", [COLOR_FILE, CODE_FILE, ENCODER_FILE, LINE_FILE])
def test_screenvae_files_are_read_strictly(screens, tmp_path, name):
    for other in (COLOR_FILE, CODE_FILE, ENCODER_FILE, LINE_FILE):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_bytes((screens / other).read_bytes())
    state = torch.load(screens / name, weights_only=True)
    torch.save(state | {"extra": torch.ones(1)}, tmp_path / name)
    with pytest.raises(CheckpointError, match="1 unexpected: extra"):
        load_screen_to_color(tmp_path, small_screens())
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=r"method\.weights: expected .*TencentARC/ColorFlow") as caught:
        load_screen_to_color(tmp_path, small_screens())
    assert name in str(caught.value)
    with pytest.raises(CheckpointError, match=r"got no path\. .*Fetch it and set method\.weights to where it lies"):
        load_screen_to_color(None, small_screens())


def test_fingerprints_tell_weights_and_options_apart(ebmc_file, screens, spoil):
    def print_of(rows):
        (spec,) = rows.values()
        return spec.fingerprint

    changed = spoil("colorUNet", lambda state: state["outc.0.bias"].add_(1))
    prints = [
        print_of(ebmc_rows(str(ebmc_file), HOG)),
        print_of(ebmc_rows(str(changed), HOG)),
        print_of(ebmc_rows(str(ebmc_file), HOG, size=128)),
        print_of(ebmc_rows(str(ebmc_file), HOG, panels=True)),
        print_of(ebmc_rows(str(ebmc_file), RetrievalSettings("clip"))),
        print_of(screenvae_rows(str(screens), HOG)),
        print_of(screenvae_rows(str(screens), HOG, code="random")),
        print_of(screenvae_rows(str(screens), HOG, height=1200)),
    ]
    assert len(set(prints)) == len(prints)
    assert print_of(ebmc_rows(str(ebmc_file), RetrievalSettings("hog", device="cuda"))) == prints[0]


def test_results_tell_the_size_that_they_were_computed_at(ebmc_file, screens):
    assert ebmc(ebmc_file).colorize(gray(), colored_pool(), seed=0).info[NATIVE_SIZE] == (32, 32)
    smaller = screenvae(screens, height=28).colorize(gray(), colored_pool(), seed=0)
    assert (smaller.size, smaller.info[NATIVE_SIZE]) == ((40, 56), (20, 28))
    assert NATIVE_SIZE not in screenvae(screens).colorize(gray(), colored_pool(), seed=0).info  # the picture's own


@pytest.mark.parametrize("size", [0, 8, 100])
def test_options_that_cannot_be(size, screens):
    with pytest.raises(ValueError, match="multiple of 16, got"):
        EbmcColorizer(small_ebmc(), retriever(), size=size)
    with pytest.raises(ValueError, match="reference or random, got 'mean'"):
        ScreenVAEColorizer(small_screens(), retriever(), code="mean")
    with pytest.raises(ValueError, match="official or none, got 'some'"):
        ScreenVAEColorizer(small_screens(), retriever(), draws="some")
    with pytest.raises(ValueError, match=r"method\.height: expected at least 1 pixel"):
        ScreenVAEColorizer(small_screens(), retriever(), height=0)


def page_of_panels():
    """White paper, two framed panels, a caption too small to be one."""
    page = Image.new("RGB", (60, 90), "white")
    for seed, box in ((1, (4, 4, 56, 40)), (2, (4, 46, 40, 86)), (3, (46, 60, 54, 70))):
        drawn = gray(seed, (box[2] - box[0] - 2, box[3] - box[1] - 2))
        page.paste("black", box)
        page.paste(drawn, (box[0] + 1, box[1] + 1))
    return page


def test_panels_are_what_white_encloses():
    assert [panel.box for panel in find_panels(page_of_panels())] == [(4, 4, 56, 40), (4, 46, 40, 86)]
    assert all(np.asarray(panel.mask).min() == 255 for panel in find_panels(page_of_panels()))
    for level in (0, 200, 255):  # nothing is enclosed
        assert find_panels(Image.new("RGB", (60, 90), (level,) * 3)) == []


def test_a_round_panel_has_a_round_mask():
    page = Image.new("L", (80, 80), 255)
    ImageDraw.Draw(page).ellipse((10, 10, 69, 69), fill=255, outline=0)
    (panel,) = find_panels(page)
    assert panel.box == (10, 10, 70, 70)
    assert np.asarray(panel.mask).mean() / 255 == pytest.approx(math.pi / 4, abs=0.02)


def test_each_panel_is_coloured_by_itself_from_its_own_reference(ebmc_file):
    page = page_of_panels()
    boxes = [panel.box for panel in find_panels(page)]
    parts = [page.crop(box) for box in boxes]
    pool = reference_pool(
        ["first", "second"], [ImageOps.colorize(part.convert("L"), "navy", "wheat") for part in parts]
    )
    whole, paneled = (build(ebmc_rows(str(ebmc_file), HOG, size=32, panels=on, device="cpu")) for on in (False, True))
    result = paneled.colorize(page, pool, seed=0)
    assert (result.size, result.info[NATIVE_SIZE]) == (page.size, (32, 32))
    for box, part, reference in zip(boxes, parts, pool.pages, strict=True):
        assert result.crop(box).tobytes() == paneled.paint([part], [reference])[0].tobytes()
    assert result.crop((46, 60, 54, 70)).tobytes() == page.crop((46, 60, 54, 70)).tobytes(), "no panel: as it was"
    assert whole.colorize(page, pool, seed=0).tobytes() != result.tobytes()
    assert_as_alone(paneled, paneled.networks.colorUNet, [page, parts[0]], [pool, pool], [[0, 1], [2]])
    plain = Image.new("RGB", (60, 90), "gray")
    assert paneled.colorize(plain, pool, seed=0).tobytes() == whole.colorize(plain, pool, seed=0).tobytes()
