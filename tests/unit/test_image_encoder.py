"""CLIP in both forms, with tiny random weights, and HOG; no network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from colorflow.retrieval.encoders import ClipVisionEncoder, HogEncoder, OpenClipEncoder
from colorflow.retrieval.retriever import cosine_similarity
from colorflow.utils.tensors import MissingWeightsError

SIDE = 32


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = [noise(40, 40, 0), noise(64, 33, 1), noise(20, 90, 2), noise(32, 32, 3), noise(50, 40, 4).convert("L")]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=8, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=8,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("clip")
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


@pytest.fixture
def open_clip_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    from open_clip import add_model_config, factory

    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 2, "layers": 1},
    }
    path = tmp_path / "tiny-clip.json"
    path.write_text(json.dumps(config))
    add_model_config(path)
    return "tiny-clip"


@pytest.fixture
def checkpoint(open_clip_model: str, tmp_path: Path) -> Path:
    import open_clip

    torch.manual_seed(0)
    path = tmp_path / "weights.pt"
    torch.save(open_clip.create_model(open_clip_model).state_dict(), path)
    return path


# --- transformers folder


def test_clip_folder_gives_the_models_own_image_embeds_in_any_batches(clip_folder):
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    model = CLIPVisionModelWithProjection.from_pretrained(clip_folder).eval()
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE)
    with torch.no_grad():
        rgb = [picture.convert("RGB") for picture in PICTURES]
        expected = model(**processor(rgb, return_tensors="pt")).image_embeds
    found = ClipVisionEncoder(clip_folder)(PICTURES)
    assert (found.shape, found.dtype, found.device.type) == ((5, 8), torch.float32, "cpu")
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    for size in (1, 2, 5):
        other = ClipVisionEncoder(clip_folder, batch_size=size)(PICTURES)
        torch.testing.assert_close(other, found, atol=1e-6, rtol=1e-5)


def test_lower_precision_is_close_and_has_its_own_name(clip_folder):
    full, half = ClipVisionEncoder(clip_folder), ClipVisionEncoder(clip_folder, dtype="bfloat16")
    found = half(PICTURES)
    assert found.dtype == torch.float32
    assert not torch.equal(found, full(PICTURES))
    assert cosine_similarity(found, full(PICTURES)).diagonal().min() > 0.999
    assert full.name != half.name
    assert half.name == f"{full.name}-bfloat16"


def test_names_follow_the_weights_and_not_the_folder(clip_folder, tmp_path):
    name = ClipVisionEncoder(clip_folder).name
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    (copy / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    weights = load_file(clip_folder / "model.safetensors")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert ClipVisionEncoder(copy).name == name
    weights["visual_projection.weight"][0, 0] += 1e-3
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert ClipVisionEncoder(copy).name != name


def test_folder_of_a_whole_clip_model(tmp_path):
    from transformers import CLIPConfig, CLIPModel

    layers = {"num_hidden_layers": 1, "num_attention_heads": 2}
    text = layers | {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 16}
    vision = layers | {"hidden_size": 16, "intermediate_size": 16}
    vision |= {"image_size": SIDE, "patch_size": 8, "projection_dim": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()
    model.save_pretrained(tmp_path)
    found = ClipVisionEncoder(tmp_path)([Image.new("RGB", (SIDE, SIDE), "black")])
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    black = (-mean / std)[None, :, None, None].expand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(pixel_values=black).pooler_output)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_outer_edges_are_not_seen(clip_folder):
    """Shortest edge to the model's size, then a centre crop: a tall page loses its top and bottom."""
    encoder = ClipVisionEncoder(clip_folder)
    page = noise(SIDE, 2 * SIDE)
    edges, centre = page.copy(), page.copy()
    edges.paste("red", (0, 0, SIDE, SIDE // 2))
    edges.paste("blue", (0, SIDE + SIDE // 2, SIDE, 2 * SIDE))
    centre.putpixel((3, SIDE // 2), (255, 0, 255))
    seen = encoder([page, edges, centre])
    torch.testing.assert_close(seen[0], seen[1], atol=1e-6, rtol=1e-5)
    assert (seen[0] - seen[2]).abs().max() > 1e-4


def test_missing_folders_and_weights_say_what_to_do(tmp_path, clip_folder):
    with pytest.raises(MissingWeightsError, match=r"absent.*retrieval=hog") as caught:
        ClipVisionEncoder(tmp_path / "absent")
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    with pytest.raises(MissingWeightsError, match="retrieval=hog"):
        ClipVisionEncoder(tmp_path)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_that_do_not_fill_the_model(clip_folder, tmp_path, change):
    (tmp_path / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    weights = load_file(clip_folder / "model.safetensors")
    if change == "missing":
        del weights["visual_projection.weight"]
    else:
        weights["vision_model.surprise"] = torch.zeros(1)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"1 {change}"):
        ClipVisionEncoder(tmp_path)


# --- open_clip


def test_open_clip_gives_encode_image(open_clip_model, checkpoint):
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(open_clip_model, pretrained=str(checkpoint))
    with torch.no_grad():
        expected = model.eval().encode_image(torch.stack([preprocess(picture) for picture in PICTURES]))
    found = OpenClipEncoder(open_clip_model, str(checkpoint), batch_size=2)(PICTURES)
    assert (found.shape, found.dtype) == ((5, 8), torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_open_clip_name_holds_model_and_weights(open_clip_model, checkpoint):
    import open_clip

    encoder = OpenClipEncoder(open_clip_model, str(checkpoint))
    assert encoder.name == OpenClipEncoder(open_clip_model, str(checkpoint), batch_size=1).name
    assert open_clip_model in encoder.name
    assert str(checkpoint.parent) not in encoder.name
    torch.manual_seed(1)
    torch.save(open_clip.create_model(open_clip_model).state_dict(), checkpoint)
    assert OpenClipEncoder(open_clip_model, str(checkpoint)).name != encoder.name


def test_open_clip_tag_names_the_weights(open_clip_model, checkpoint, monkeypatch):
    from open_clip import factory

    monkeypatch.setattr("open_clip.list_pretrained_tags_by_model", lambda model: ["some_tag"])
    monkeypatch.setattr(factory, "get_pretrained_cfg", lambda model, tag: {"url": "unused"})
    monkeypatch.setattr(factory, "download_pretrained", lambda *args, **kwargs: str(checkpoint))
    assert OpenClipEncoder(open_clip_model, "some_tag").name == f"open_clip-{open_clip_model}-some_tag"
    assert OpenClipEncoder(open_clip_model, "some_tag", dtype="bfloat16").name.endswith("some_tag-bfloat16")


def test_paper_encoder_without_network_says_what_to_do(monkeypatch):
    from open_clip import factory

    def no_network(*args: object, **kwargs: object) -> str:
        raise FileNotFoundError("Failed to download file.\nCheck your connection.")

    monkeypatch.setattr(factory, "download_pretrained", no_network)
    with pytest.raises(MissingWeightsError, match=r"laion2b_s32b_b79k.*ViT-H-14.*connection.*retrieval=hog") as caught:
        OpenClipEncoder()
    assert "\n" not in str(caught.value)


def test_open_clip_names_that_do_not_exist(open_clip_model):
    with pytest.raises(ValueError, match="ViT-H-15"):
        OpenClipEncoder("ViT-H-15")
    with pytest.raises(ValueError, match=r"laion2b_s32b_b79k.*got 'laion9b'"):
        OpenClipEncoder("ViT-H-14", "laion9b")
    with pytest.raises(ValueError, match="it has none"):
        OpenClipEncoder(open_clip_model, "some_tag")


def test_options_out_of_range_and_nothing_to_encode(clip_folder):
    for option, value in (("dtype", "int8"), ("batch_size", 0)):
        with pytest.raises(ValueError, match=option):
            ClipVisionEncoder(clip_folder, **{option: value})  # type: ignore[arg-type]
    for encoder in (ClipVisionEncoder(clip_folder), HogEncoder()):
        with pytest.raises(ValueError, match="at least one image"):
            encoder([])


# --- HOG


def figure(kind: str, fill: str, width: int = 90) -> Image.Image:
    image = Image.new("RGB", (width, 100), "white")
    pen = ImageDraw.Draw(image)
    box = (10, 10, width - 10, 90)
    (pen.ellipse if kind == "round" else pen.rectangle)(box, fill, "black", 5)
    return image


def test_hog_sees_shapes_and_not_colors():
    found = HogEncoder()([figure("round", "#40c0ff"), figure("square", "#ffb0a0"), figure("round", "#ffb0a0")])
    similar = cosine_similarity(found, found)
    assert similar[0, 2] > 0.9
    assert similar[0, 2] > similar[1, 2] + 0.2
    picture = noise(70, 50)
    color, gray, repeated = HogEncoder()([picture, picture.convert("L"), picture.convert("L").convert("RGB")])
    assert torch.equal(color, gray)
    assert torch.equal(color, repeated)


def test_hog_takes_any_size_and_flat_images():
    found = HogEncoder(32)([Image.new("RGB", (3, 200), "red"), noise(200, 3)])
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert (found[0] == 0).all()
    assert torch.isfinite(cosine_similarity(found, found)).all()


@pytest.mark.parametrize("size", [0, 8, 60, -64])
def test_hog_sizes(size):
    with pytest.raises(ValueError, match=f"got {size}"):
        HogEncoder(size)
