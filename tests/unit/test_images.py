"""Reading and writing pictures of every kind."""

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from colorflow.utils.images import ImageError, load_image, natural_key, save_png, to_image, to_rgb, to_tensor

SIDE = 16


def ramp(width: int = 24, height: int = 18) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 10, y * 14, 255 - x - y], axis=2).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png16(path: Path, values: np.ndarray, transparent: tuple[int, ...] | None = None) -> None:
    """A 16-bit PNG, gray (H, W) or RGB (H, W, 3), which Pillow cannot write itself."""
    height, width = values.shape[:2]
    color_type = 2 if values.ndim == 3 else 0
    rows = values.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    data = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))
    if transparent is not None:
        data += chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def pixels(path: Path) -> np.ndarray:
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_rgb_and_one_bit_are_read_as_they_are(tmp_path):
    Image.fromarray(ramp()).save(tmp_path / "a.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), ramp())
    bits = ramp()[..., 0] > 100
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert np.array_equal(pixels(tmp_path / "a.png")[..., 2], np.where(bits, 255, 0))


# What a viewer must do to the stored pixels, by the EXIF standard's table of orientations.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(ramp()).save(tmp_path / "a.png", exif=exif)
    image = load_image(tmp_path / "a.png")
    assert np.array_equal(np.asarray(image), UPRIGHT[orientation](ramp()))
    image.save(tmp_path / "again.png")
    assert np.array_equal(pixels(tmp_path / "again.png"), np.asarray(image)), "rotated twice"


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (128, 127), (255, 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(tmp_path, mode, alpha, expected):
    color = (0, 0, 0, alpha) if mode == "RGBA" else (0, alpha)
    Image.new(mode, (SIDE, SIDE), color).save(tmp_path / "a.png")
    assert (pixels(tmp_path / "a.png") == expected).all()


def test_transparent_colors_of_palettes_and_rgb(tmp_path):
    image = Image.new("P", (SIDE, SIDE), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (0, 0, 8, SIDE))
    image.save(tmp_path / "a.png", transparency=0)
    found = pixels(tmp_path / "a.png")
    assert (found[:, :8] == (200, 100, 50)).all()
    assert (found[:, 8:] == 255).all()
    image = Image.new("RGB", (SIDE, SIDE), (1, 2, 3))
    image.paste((9, 9, 9), (0, 0, 4, 4))
    image.save(tmp_path / "a.png", transparency=(1, 2, 3))
    found = pixels(tmp_path / "a.png")
    assert (found[:4, :4] == 9).all()
    assert (found[8:] == 255).all()


@pytest.mark.parametrize(
    ("ink", "color"), [((0, 0, 0, 0), (255, 255, 255)), ((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))]
)
@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk(tmp_path, suffix, ink, color):
    Image.new("CMYK", (SIDE, SIDE), ink).save(tmp_path / f"a.{suffix}")
    assert np.abs(pixels(tmp_path / f"a.{suffix}").astype(int) - color).max() <= 2


def test_sixteen_bits(tmp_path):
    levels = np.arange(256).reshape(16, 16)
    write_png16(tmp_path / "a.png", levels * 257)
    assert np.array_equal(pixels(tmp_path / "a.png"), np.repeat(levels[..., None], 3, axis=2))
    write_png16(tmp_path / "a.png", ramp().astype(np.uint32) * 257)
    assert np.array_equal(pixels(tmp_path / "a.png"), ramp())
    values = np.full((SIDE, SIDE), 300)
    values[:4] = 301
    write_png16(tmp_path / "a.png", values, transparent=(300,))
    found = pixels(tmp_path / "a.png")
    assert (found[:4] == 1).all()
    assert (found[4:] == 255).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 65535], np.int32), (0, 255)),
        (np.array([0, 2**31 - 1], np.int32), (0, 255)),
        (np.array([0.0, 0.5, 1.0], np.float32), (0, 128, 255)),
        (np.array([0.0, 100.0, 255.0], np.float32), (0, 100, 255)),
    ],
)
def test_wide_gray_scans(tmp_path, values, expected):
    Image.fromarray(np.tile(values.repeat(16), (SIDE, 1))).save(tmp_path / "a.tif")
    assert tuple(pixels(tmp_path / "a.tif")[0, 8::16, 1]) == expected


@pytest.mark.parametrize("bad", [np.nan, -1.0, 1e6])
def test_float_scans_out_of_range_are_refused(tmp_path, bad):
    values = np.zeros((SIDE, SIDE), np.float32)
    values[3, 3] = bad
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif"):
        load_image(tmp_path / "a.tif")


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (SIDE, SIDE), color) for color in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (pixels(tmp_path / "a.gif") == (255, 0, 0)).all()


def test_nothing_of_the_file_is_carried_on(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp()).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    assert load_image(tmp_path / "a.jpg").info == {}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
def test_a_file_cut_short_is_named(tmp_path, suffix, share):
    path = tmp_path / f"torn page.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=rf"torn page\.{suffix}") as caught:
        load_image(path)
    assert caught.value.path == path


def test_what_is_no_picture_and_what_is_not_there(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(ImageError):
        load_image(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        load_image(tmp_path / "absent.png")
    with pytest.raises(IsADirectoryError):
        load_image(tmp_path)


def test_decompression_bomb(tmp_path, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(ImageError, match=r"bomb\.png.*DecompressionBomb"):
        load_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(("size", "accepted"), [((16, 16), True), ((15, 99), False), ((99, 15), False)])
def test_smallest_side(tmp_path, size, accepted):
    Image.new("RGB", size).save(tmp_path / "a.png")
    if accepted:
        assert load_image(tmp_path / "a.png").size == size
    else:
        with pytest.raises(ImageError, match=f"{size[0]} x {size[1]}"):
            load_image(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", min_side=1).size == size


def test_image_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(ImageError("x/a.png", "broken")))
    assert isinstance(error, ValueError)
    assert (str(error), error.path, error.reason) == ("x/a.png: broken", Path("x/a.png"), "broken")


def test_to_rgb_returns_a_copy():
    source = Image.new("RGB", (4, 4))
    to_rgb(source).putpixel((0, 0), (9, 9, 9))
    assert source.getpixel((0, 0)) == (0, 0, 0)


def test_save_png_makes_parents_and_keeps_the_old_file_where_it_fails(tmp_path):
    path = tmp_path / "new" / "folder" / "001.png"
    save_png(Image.fromarray(ramp()), path)
    assert np.array_equal(pixels(path), ramp())
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(OSError, match="mode"):
        save_png(Image.new("HSV", (4, 4)), path)
    assert np.array_equal(pixels(path), ramp())
    assert list(path.parent.iterdir()) == [path]


def test_tensor_layout_range_and_round_trip():
    image = Image.new("RGB", (3, 2), (0, 127, 255))
    image.putpixel((2, 1), (255, 0, 0))
    tensor = to_tensor(image)
    assert (tensor.shape, tensor.dtype) == ((3, 2, 3), torch.float32)
    assert tensor[:, 0, 0].tolist() == pytest.approx([-1, -1 / 255, 1], abs=1e-6)
    assert tensor[:, 1, 2].tolist() == [1, -1, -1]
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels[::-1], levels.T], axis=2))
    assert np.array_equal(np.asarray(to_image(to_tensor(image))), np.asarray(image))


@settings(deadline=None)
@given(st.floats(-1.5, 1.5, width=32))
def test_to_image_rounds_to_the_nearest_level_and_clamps(value):
    level = to_image(torch.full((3, 1, 1), value)).getpixel((0, 0))[0]
    target = min(255.0, max(0.0, (value + 1) * 127.5))
    assert abs(level - target) <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        *[(torch.full((3, 2, 2), bad), "NaN") for bad in (float("nan"), float("inf"))],
        *[(torch.zeros(shape), r"\(3, H, W\)") for shape in ((1, 3, 4, 4), (4, 4, 3), (1, 4, 4))],
    ],
)
def test_to_image_refuses_what_is_no_picture(tensor, message):
    with pytest.raises(ValueError, match=message):
        to_image(tensor)


def test_natural_order():
    names = ["page10.png", "Page2.png", "page1.png", "2/1", "10/1", "2/01", "a", "page", ""]
    expected = ["", "2/01", "2/1", "10/1", "a", "page", "page1.png", "Page2.png", "page10.png"]
    assert sorted(names, key=natural_key) == expected
    assert sorted(reversed(names), key=natural_key) == expected


@given(st.lists(st.text(max_size=8)))
def test_natural_order_is_total(names):
    assert sorted(names, key=natural_key) == sorted(reversed(names), key=natural_key)
