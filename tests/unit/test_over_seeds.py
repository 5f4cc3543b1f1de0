"""A table over seeds of training: means, Student's intervals, directions, and what does not belong together."""

import math

import numpy as np
import pytest
from scipy import stats
from test_beside_paper import results

from colorflow.evaluation.report.over_seeds import changes_over_seeds, interval, main, seed_grids
from colorflow.evaluation.results import ResultsError, write_results

GAINS = [
    {"colorflow": 0.0, "rank_half": -0.5, "rank_double": -2.0},
    {"colorflow": 1.0, "rank_half": 2.5, "rank_double": -1.2},
    {"colorflow": 0.5, "rank_half": -1.0, "rank_double": -1.4},
]
"""dB of each row, by seed."""


def seeds(table: str = "table4"):
    return [results(table, gains=gains) for gains in GAINS]


def test_a_change_is_the_mean_over_seeds_of_paired_differences():
    found = {(item.row.method, item.metric): item for item in changes_over_seeds(seeds())}
    for name, direction in (("rank_half", "noise"), ("rank_double", "same")):
        item = found[name, "psnr"]
        per_seed = [np.mean([1 + 0.1 * page for page in range(3)]) * gains[name] for gains in GAINS]
        full = [np.mean([1 + 0.1 * page for page in range(3)]) * gains["colorflow"] for gains in GAINS]
        expected = np.subtract(per_seed, full)
        assert item.ours == pytest.approx(expected.mean())
        error = stats.sem(expected)
        assert item.interval == pytest.approx(stats.t.interval(0.95, 2, loc=expected.mean(), scale=error))
        assert item.direction == direction
    assert ("rank_triple", "psnr") not in found


def test_the_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(0)
    bounds = [interval(list(random.normal(3.0, 2.0, size=4))) for _ in range(2000)]
    assert 0.93 < np.mean([low <= 3.0 <= high for low, high in bounds]) < 0.97
    assert interval([1.0, 1.0]) == (1.0, 1.0)
    assert not math.isnan(interval([1.0, 2.0])[0])


def test_rows_show_mean_and_range_beside_the_paper():
    levels, moved = seed_grids(seeds())
    cells = dict(zip(levels.headings, levels.rows[1], strict=True))
    values = [row["metrics"]["psnr"] for seed in seeds() for row in seed["rows"] if row["method"] == "colorflow"]
    expected = f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f}) / 25.88"
    assert next(text for name, text in cells.items() if name.startswith("PSNR")) == expected
    assert "mean of 3 seeds" in levels.title
    assert len({row[0] for row in moved.rows}) == 2  # the full model is what the two others are held against
    assert "Student" in moved.note


def test_reports_that_do_not_belong_together_are_refused():
    with pytest.raises(ResultsError, match="reports of at least two seeds, got 1"):
        changes_over_seeds(seeds()[:1])
    with pytest.raises(ResultsError, match=r"one of the paper's tables.*table4.*table5"):
        changes_over_seeds([seeds()[0], results("table5")])
    with pytest.raises(ResultsError, match="one of the paper's tables"):
        changes_over_seeds([results(None), results(None)])
    other = seeds()[1]
    other["protocol"]["benchmark"] = {"name": "other", "pages": 9, "shape": None, "sha256": "1"}
    with pytest.raises(ResultsError, match="all on one benchmark"):
        changes_over_seeds([seeds()[0], other])


def test_the_command_prints_and_writes_both_tables(tmp_path, capsys):
    folders = [tmp_path / str(number) for number in range(3)]
    for folder, result in zip(folders, seeds(), strict=True):
        folder.mkdir()
        write_results(result, folder / "results.json")
    assert main([*map(str, folders), "--markdown", str(tmp_path / "table.md")]) == 0
    assert "Rank of LoRA" in capsys.readouterr().out
    assert (tmp_path / "table.md").read_text().count("| --- |") >= 2
    assert main([str(folders[0]), str(tmp_path / "none")]) == 1
    assert "ResultsError: expected" in capsys.readouterr().err
