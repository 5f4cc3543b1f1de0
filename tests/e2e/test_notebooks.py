"""The notebooks executed from start to end, each in a kernel of its own, and what they found out checked there."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from tiny.models import PAGE_SIZE, tiny_model
from tiny.recipes import fusion

from colorflow.pipelines.export import save_export
from colorflow.retrieval.settings import RetrievalSettings
from docs.make_notebook_pictures import NOTEBOOKS, TAG, execute, pictures

CHECKS = {
    "1_page_to_canvas": """
from colorflow.canvas import query_box
assert sorted((item.quadrant, item.rank) for item in found) == [(q, r) for q in range(4) for r in range(3)]
assert all(item.similarity >= similarity[item.quadrant].topk(3).values[-1] for item in found), "not the top three"
differ = (np.asarray(target) != np.asarray(condition)).any(axis=2)
left, top, right, bottom = query_box(SIZE)
assert differ[top:bottom, left:right].mean() > 0.3
differ[top:bottom, left:right] = False
assert not differ.any(), "target and condition differ on the references"
assert len(set(windows)) == 4
assert all(box[0] <= left and box[1] <= top and box[2] >= right and box[3] >= bottom for box in windows)
assert batch.target.shape == batch.condition.shape == (1, 3, 192, 128)
""",
    "2_what_training_sees": """
import math
import numpy as np
for mu in MU:  # Eq. 5 at t' = T / 2, solved for t
    late = (steps[mu] >= T // 2).double().mean().item()
    assert abs(late - math.exp(mu) / (1 + math.exp(mu))) < 0.005, (mu, late)
assert len(renditions) == 8
pixels = {name: np.asarray(picture).astype(int) for name, picture in renditions.items()}
for name in styles:
    assert np.ptp(pixels[name], axis=2).max() == 0, f"{name} is not gray"
assert not np.array_equal(pixels["screentone"], pixels["screentone, drawn again"])
assert ((pixels["bitonal print"] < 64) | (pixels["bitonal print"] > 191)).mean() > 0.95
with torch.no_grad():
    clean = np.asarray(to_image(decode_latents(base.vae, latents)[0].clamp(-1, 1))).astype(int)
errors = [np.abs(np.asarray(noisy(t)).astype(int) - clean).mean() for t in (0, 200, 600, 999)]
assert errors == sorted(errors), errors
assert errors[0] < errors[1] / 2, "31 dB of signal to noise against 5 dB"
""",
    "3_colour_a_chapter": """
from colorflow.config import compose_config, to_dict
drawn = to_dict(compose_config("train", ["experiment=quickstart"]).data.datamodule.source.spec)
assert ToonSpec(**{key: value for key, value in drawn.items() if key != "_target_"}) == SPEC
assert [output.image.size for output in right] == [SPEC.size] * 3
assert all(np.any(np.asarray(a.image) != np.asarray(b.image)) for a, b in zip(right, misled, strict=True))
assert all(0 < page["psnr"] < 60 for found_ in scores.values() for page in found_)
assert abs(found.weights.sum().item() - 1) < 1e-4
total = sum(places.values())
assert 0.75 < total.mean() and total.max() < 1.05, "the kinds of places overlap, or leave places out"
assert all(share.sum() > 0 for share in places.values())
assert all(0 < value < found.weights.numel() for value in attended.values())
""",
    "4_read_a_report": """
assert rows == ["gray_copy", "patch_copy", "patch_copy_wrong_references", "color_transfer"]
assert [row["n"] for row in results["rows"]] == [18] * 4
assert (FOLDER / "report" / "index.html").is_file()
assert worst[0][METRIC] == min(page[METRIC] for page in ours)
table = {row["method"]: row["intervals"][METRIC] for row in results["rows"]}
assert table["color_transfer"][1] > table["patch_copy"][0], "the text says that these overlap"
assert differences["patch_copy", "color_transfer"].interval[0] > 0, "and that this excludes zero"
low, high = differences["patch_copy_wrong_references", "gray_copy"].interval
assert low < 0 < high
assert differences["patch_copy", "patch_copy_wrong_references"].value > 3
""",
}


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny export folder, and nothing of the user's own settings; what notebooks write goes with the test."""
    save_export(
        tiny_model().eval(),
        tmp_path / "export",
        PAGE_SIZE,
        RetrievalSettings(kind="hog"),
        fusion(upsample_mode="bicubic"),
    )
    monkeypatch.setenv("COLORFLOW_NOTEBOOK_EXPORT", str(tmp_path / "export"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


@pytest.mark.slow
@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("name", CHECKS)
def test_runs_from_start_to_end(name):
    notebook = execute(NOTEBOOKS / f"{name}.ipynb", CHECKS[name])
    tagged = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", ()) if tag.startswith(TAG)]
    shown = pictures(notebook)
    assert len(shown) == len(tagged) > 0
    for picture_name, picture in shown.items():
        assert picture.width >= 600, picture_name
        assert np.asarray(picture.convert("L")).std() > 10, f"{picture_name} is blank"


@pytest.mark.slow
@pytest.mark.usefixtures("surroundings")
def test_a_check_can_fail(tmp_path):
    cell = nbformat.v4.new_code_cell("found = 12")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "small.ipynb")
    execute(tmp_path / "small.ipynb", "assert found == 12")
    with pytest.raises(CellExecutionError, match="not what it says"):
        execute(tmp_path / "small.ipynb", 'assert found == 11, "not what it says"')


def test_all_are_checked():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(CHECKS)
