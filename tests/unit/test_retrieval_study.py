"""The retrieval study: accuracy against a plain loop, intervals against scipy, pictures, map, figure, all of it."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from tiny.runs import call_main

import evaluate
from colorflow.data.chapters import DataError
from colorflow.evaluation.retrieval_study import (
    CharacterFolder,
    CharacterPicture,
    RetrievalStudy,
    ToonCharacters,
    retrieval_accuracy,
)
from colorflow.evaluation.retrieval_study.embedding_map import embedding_map
from colorflow.evaluation.retrieval_study.figure import Panel, character_color, draw_figure
from colorflow.retrieval.settings import RetrievalSettings, build_encoder
from colorflow.toon import ToonSpec

SMALL = ToonCharacters(characters=4, images=3, chapters=2, min_side=16, spec=ToonSpec(size=(96, 144), supersample=1))
RED = Image.new("RGB", (16, 16), "red")


def pictures(names, pages=None):
    pages = pages or [str(number) for number in range(len(names))]
    return [CharacterPicture(name, page, RED) for name, page in zip(names, pages, strict=True)]


def test_accuracy_is_that_of_a_plain_loop():
    random = np.random.default_rng(0)
    names = [f"c{i % 5}" for i in range(40)]
    pages = [str(i // 3) for i in range(40)]
    embeddings = torch.from_numpy(random.normal(size=(2, 40, 6)))
    found = retrieval_accuracy(*embeddings, pictures(names, pages))
    unit = [(rows / rows.norm(dim=1, keepdim=True)).numpy() for rows in embeddings]
    blind = []
    for i, nearest in enumerate(found.hits):
        others = [j for j in range(40) if pages[j] != pages[i]]
        ranked = sorted(others, key=lambda j: -float(unit[0][i] @ unit[1][j]))
        assert nearest == tuple(names[j] == names[i] for j in ranked[:3])
        blind.append(sum(names[j] == names[i] for j in others) / len(others))
    assert 0 < found.top1 < found.top3 < 40
    assert found.chance[0] == pytest.approx(sum(blind) / 40)
    counts = found.by_character()
    assert list(counts) == ["c0", "c1", "c2", "c3", "c4"]
    assert sum(one["top1"] for one in counts.values()) == found.top1
    assert all(one["queries"] == 8 for one in counts.values())


def test_chance_is_what_blind_choices_reach():
    names = ["a"] * 4 + ["b"] * 8
    generator = torch.Generator().manual_seed(0)
    tries = [
        retrieval_accuracy(*torch.randn(2, 12, 64, generator=generator).double(), pictures(names)) for _ in range(200)
    ]
    for share, chance in ((sum(one.top1 for one in tries) / 2400, 0), (sum(one.top3 for one in tries) / 2400, 1)):
        assert share == pytest.approx(tries[0].chance[chance], abs=0.04)
    assert tries[0].chance[1] == pytest.approx(
        sum([1 - math.comb(8, 3) / math.comb(11, 3)] * 4 + [1 - math.comb(4, 3) / math.comb(11, 3)] * 8) / 12
    )


def test_a_picture_of_the_same_page_is_no_candidate():
    embeddings = torch.eye(4).repeat_interleave(2, 0)[:, :4]  # pairs of equal ones
    names = ["a", "a", "b", "b", "a", "a", "b", "b"]
    everywhere = retrieval_accuracy(embeddings, embeddings, pictures(names))
    assert everywhere.top1 == 8
    paired = retrieval_accuracy(embeddings, embeddings, pictures(names, list("00112233")))
    assert paired.top1 < 8


@pytest.mark.parametrize(
    ("names", "pages", "said"),
    [("aabbc", "01234", "got none of c"), ("aabb", "0011", "none of a, b"), ("aa", "01", "too few")],
)
def test_queries_without_an_answer_are_named(names, pages, said):
    with pytest.raises(ValueError, match=said):
        retrieval_accuracy(torch.ones(len(names), 2), torch.ones(len(names), 2), pictures(names, list(pages)))


def test_toon_characters_are_what_was_asked_for():
    found = SMALL.load()
    assert len(found) == 12
    assert len({picture.character for picture in found}) == 4
    assert len({(picture.character, picture.page) for picture in found}) == 12  # at most once a page
    assert len({picture.page.partition("/")[0] for picture in found}) == 2
    assert min(min(picture.image.size) for picture in found) >= 16
    again = SMALL.load()
    assert all(one.image.tobytes() == other.image.tobytes() for one, other in zip(found, again, strict=True))
    other = ToonCharacters(4, 3, 2, seed=1, min_side=16, spec=SMALL.spec).load()
    assert any(one.image.size != two.image.size for one, two in zip(found, other, strict=True))


@pytest.mark.parametrize(
    ("options", "said"),
    [({"characters": 1}, "characters=1"), ({"part": "feet"}, "feet"), ({"chapters": 11}, "chapters=11")],
)
def test_options_of_toon_characters(options, said):
    with pytest.raises(ValueError, match=said):
        ToonCharacters(**options)


def test_characters_that_are_never_shown_large_enough_are_counted():
    with pytest.raises(ValueError, match=r"got 0, 0.*lower min_side \(96\)"):
        ToonCharacters(2, 2, 1, min_side=96, spec=ToonSpec(size=(48, 48), supersample=1)).load()


def test_a_folder_of_characters(tmp_path):
    for name, count in (("anna", 2), ("ben", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (20, 30), (40 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    found = CharacterFolder(tmp_path).load()
    assert [picture.character for picture in found] == ["anna"] * 2 + ["ben"] * 3
    assert len({picture.page for picture in found}) == 5
    (tmp_path / "anna" / "1.png").unlink()
    with pytest.raises(DataError, match="of which anna with a single picture"):
        CharacterFolder(tmp_path).load()


def test_the_map_keeps_groups_together():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 12)
    embeddings = torch.from_numpy(
        np.eye(3).repeat(12, 0) @ random.normal(size=(3, 20)) + random.normal(0, 0.05, (36, 20))
    )
    places = embedding_map(embeddings, seed=0)
    assert (places.min(0) == 0).all()
    assert (places.max(0) == 1).all()
    assert np.array_equal(places, embedding_map(embeddings, seed=0))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(36)
    assert (groups[apart.argmin(1)] == groups).all()


def test_wrong_queries_are_crossed_out_and_frames_tell_characters():
    names = ["a", "a", "b", "b"]
    embeddings = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.9, 0]])
    accuracy = retrieval_accuracy(embeddings, embeddings, pictures(names))
    places = np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]])
    white = tuple(Image.new("RGB", (16, 16), "white") for _ in names)
    panel = Panel("map", places, white, accuracy)
    drawn = draw_figure([(panel, panel)])
    pixels = np.asarray(drawn).reshape(-1, 3)
    for number in range(2):
        assert (pixels == character_color(number, 2)).all(1).sum() > 100
    crossed = int((pixels == (0xD1, 0x24, 0x2F)).all(1).sum())
    right = Panel(
        "map",
        places,
        white,
        retrieval_accuracy(torch.eye(2).repeat_interleave(2, 0), torch.eye(2).repeat_interleave(2, 0), pictures(names)),
    )
    assert right.accuracy.top1 == 4
    alone = int((np.asarray(draw_figure([(right, right)])).reshape(-1, 3) == (0xD1, 0x24, 0x2F)).all(1).sum())
    assert crossed > alone > 0  # the legend's own
    assert draw_figure([(panel, panel)] * 2).height > drawn.height


def test_the_study_writes_what_it_found(tmp_path, capsys):
    hog = RetrievalSettings(kind="hog")
    results = RetrievalStudy((hog, hog), SMALL).run(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert [(row["encoder"], row["queries"], row["n"]) for row in results["rows"]] == [
        ("hog-64", "colour", 12),
        ("hog-64", "gray", 12),
    ]
    assert results["protocol"]["map"]["perplexity"] == 11 / 3  # as few pictures allow no more
    for row in results["rows"]:
        assert row["top1_interval"][0] <= row["top1"] <= row["top1_interval"][1]
        assert sum(one["top1"] for one in row["characters"].values()) == round(12 * row["top1"])
        assert not row["random_weights"]
        for name in ("top1", "top3"):
            expected = binomtest(round(row[name] * row["n"]), row["n"]).proportion_ci(0.95, method="wilson")
            assert row[f"{name}_interval"] == pytest.approx(expected, abs=1e-12)
    table = (tmp_path / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "| CLIP ViT-H-14, as printed in the paper | gray | 100 | 97% |" in table
    assert "Random weights" not in table
    assert Image.open(tmp_path / "figure9.png").size[0] == 1180


def test_random_weights_are_the_same_each_time_and_marked(tmp_path):
    settings = RetrievalSettings(model="ViT-B-32", pretrained=None)
    before = torch.get_rng_state()
    first, second = build_encoder(settings), build_encoder(settings)
    assert first.name == second.name
    assert torch.equal(before, torch.get_rng_state())
    assert settings.random_weights
    assert not RetrievalSettings(kind="hog", pretrained=None).random_weights
    results = RetrievalStudy((settings,), SMALL).run(tmp_path)
    assert all(row["random_weights"] and "(random weights)" in row["encoder"] for row in results["rows"])
    assert "Random weights" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize("kind", ["random", "none"])
def test_an_encoder_that_compares_nothing_is_refused(kind):
    with pytest.raises(ValueError, match=f"expected kind clip or hog, got {kind}"):
        build_encoder(RetrievalSettings(kind=kind))


def test_evaluate_runs_the_study_in_place_of_methods(tmp_path):
    small = [
        "study.toon.characters=4",
        "study.toon.images=3",
        "study.toon.min_side=16",
        "study.toon.spec.size=[96,144]",
    ]
    given = ["experiment=figure9", "retrieval=hog", f"output={tmp_path}", *small]
    assert call_main(evaluate, *given) is None
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "table.md", "figure9.png"}
    folder = tmp_path / "characters"
    for picture in SMALL.load():
        path = folder / picture.character / f"{picture.page.replace('/', '_')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.image.save(path)
    assert call_main(evaluate, *given, f"study.root={folder}") is None
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["protocol"]["pictures"]["source"] == "CharacterFolder"
    assert str(tmp_path) not in (tmp_path / "results.json").read_text()
    message = call_main(evaluate, *given, f"study.root={tmp_path}/none")
    assert message is not None
    assert "none" in message
    assert "\n" not in message
