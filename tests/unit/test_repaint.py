"""Generated comics painted anew: the drawing stays, page and references change alike, labels lie where colours do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from colorflow.canvas import query_box, reference_patches
from colorflow.data.chapters import DataError
from colorflow.data.page_transform import PageTransform
from colorflow.data.repaint import IndexedPages, Repaint, RepaintPage, label_canvas, painted
from colorflow.data.transforms import CanvasTransform, collate
from colorflow.schema import ColorizationSample, RetrievedPatch
from colorflow.styles.gray import GrayStyle
from colorflow.toon import PARTS, ToonSpec, cast_of, draw_page, paint_world
from colorflow.utils.images import ImageError, save_png
from colorflow.utils.seeding import stable_seed

SIZE = (32, 48)
SPEC = ToonSpec(size=(64, 96), min_cast=2, max_cast=2, max_panels=1, supersample=2, own_luminance=True)


@pytest.fixture(scope="module")
def sample():
    pages = [draw_page(5, index, SPEC).indices for index in range(2)]
    views = reference_patches(pages[1])
    slots = [(quadrant, rank) for quadrant in range(4) for rank in range(3)]
    patches = tuple(
        (RetrievedPatch("c/001", (quadrant + rank) % 5, quadrant, rank, 1.0), views[(quadrant + rank) % 5])
        for quadrant, rank in slots
    )
    return ColorizationSample("c/000", pages[0], patches)


def repaint(**options):
    canvas = CanvasTransform(SIZE, (64, 96), GrayStyle(), (2.0, 2.0))
    return Repaint(canvas, SIZE, SPEC, **options)


def test_pages_of_a_chapter_know_their_cast(sample):
    assert cast_of(sample.page) == 2
    assert cast_of(draw_page(5, 0, ToonSpec(size=(64, 96), min_cast=6)).indices) == 6


def test_its_own_colors_are_the_drawn_ones(sample):
    drawn = draw_page(5, 0, SPEC)
    page = np.asarray(painted(sample, SPEC.size, None, 0).page)
    labels, counts = np.unique(drawn.labels[drawn.labels > 0], return_counts=True)
    seen = labels[counts > 60]
    assert len(seen) >= 3
    for label in seen:
        character, part = divmod(int(label) - 1, len(PARTS))
        found = np.median(page[drawn.labels == label], axis=0)
        assert np.abs(found - drawn.colors[character][part]).max() <= 4, label


def test_an_index_has_its_palettes_color_on_page_and_references(sample):
    """At a size where faces are more than lines."""
    transform = Repaint(CanvasTransform((96, 144), (192, 288), GrayStyle(), (2.0, 2.0)), (96, 144), SPEC)
    batch = transform(sample, 0, 3)
    assert batch.target.shape == (1, 3, 288, 192)
    assert batch.labels.shape == (1, 72, 48)
    palette = paint_world(stable_seed(0, "paint", 3), 2, SPEC)[1]
    centers, labels = batch.target[0, :, 2::4, 2::4], batch.labels[0]
    counted = [label for label in labels.unique().tolist() if (labels == label).sum() > 60 and 3 < label < 255]
    assert counted
    for label in counted:
        found = (centers[:, labels == label].median(1).values + 1) * 127.5
        assert (found - torch.tensor(palette[label])).abs().max() < 24, label


def test_colors_are_drawn_anew_and_the_drawing_is_not(sample):
    one, other, again = (repaint()(sample, 0, position) for position in (3, 4, 3))
    assert torch.equal(one.target, again.target)
    assert torch.equal(one.labels, other.labels)
    assert (one.target - other.target).abs().mean() > 0.05


def test_quarters_are_those_of_canvases_of_their_own(sample):
    """Each is a quadrant of a whole canvas with its three slots; all of a batch are quarters, or none."""
    transform = repaint(quarters=1.0)
    batch = transform(sample, 0, 3)
    assert batch.target.shape == (4, 3, 48, 32)
    assert batch.mask.shape == (4, 1, 48, 32)
    assert batch.labels.shape == (4, 12, 8)
    assert len(batch) == len(set(batch.seeds)) == 4
    whole = label_canvas(sample, SIZE, 4)
    tiles = [whole[:12, :8], whole[:12, 8:], whole[12:, :8], whole[12:, 8:]]
    assert torch.equal(batch.labels, torch.stack(tiles))
    corner = batch.mask[0, 0]
    assert corner[-1, -1] == 0
    assert corner[0, 0] == 1
    same = batch.target == batch.condition
    assert same[(batch.mask > 0.5).expand_as(same)].all()
    assert not same.all()


def test_kinds_go_by_batch(sample):
    transform = repaint(quarters=0.5, batch_size=4)
    kinds = [len(transform(sample, 0, position)) for position in range(48)]
    for start in range(0, 48, 4):
        assert len(set(kinds[start : start + 4])) == 1
    assert set(kinds) == {1, 4}
    assert len(collate([transform(sample, 0, position) for position in range(4)]).target) in (4, 16)


def test_validation_shows_whole_canvases_in_the_chapters_colors(sample):
    transform = repaint(quarters=1.0).for_validation()
    one, other = (transform(sample, 0, position) for position in (1, 2))
    assert torch.equal(one.target, other.target)
    left, top, right, bottom = query_box(SIZE)
    page = painted(sample, SIZE, None, 0).page
    shown = ((one.target[0, :, top:bottom, left:right] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert np.array_equal(shown.astype(np.uint8), np.asarray(page))


def test_pages_alone(sample):
    transform = RepaintPage(PageTransform(SIZE, GrayStyle()), SIZE, SPEC)
    one, other = (transform(sample, 0, position) for position in (1, 2))
    assert one.target.shape == (1, 3, 48, 32)
    assert (one.target - other.target).abs().mean() > 0.05
    kept = transform.for_validation()
    assert torch.equal(kept(sample, 0, 1).target, kept(sample, 0, 2).target)


def test_pages_without_indices_are_refused(sample, tmp_path):
    plain = ColorizationSample("c/000", sample.page.convert("RGB"), ())
    with pytest.raises(DataError, match=r"expected a page of palette indices .*got RGB; set data=toon_identity"):
        repaint()(plain, 0, 0)
    save_png(plain.page, tmp_path / "rgb.png")
    with pytest.raises(ImageError, match="expected palette indices"):
        IndexedPages()(tmp_path / "rgb.png")


def test_pages_are_kept_up_to_their_limit(sample, tmp_path):
    for number in range(3):
        save_png(sample.page, tmp_path / f"{number}.png")
    pages = IndexedPages(megabytes=1)
    pages.capacity = 2 * sample.page.width * sample.page.height
    first = pages(tmp_path / "0.png")
    assert pages(tmp_path / "0.png") is first
    assert np.array_equal(np.asarray(first), np.asarray(sample.page))
    assert isinstance(first, Image.Image)
    for number in (1, 2):
        pages(tmp_path / f"{number}.png")
    assert pages(tmp_path / "0.png") is not first
