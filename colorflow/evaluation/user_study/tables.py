"""Table 6: criteria as rows, methods as columns, best in bold; Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from colorflow.evaluation.report.paper import USER_STUDY, USER_STUDY_SOURCE
from colorflow.evaluation.report.tables import escape_latex, label
from colorflow.evaluation.user_study.tally import Score, Tally


def markdown_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """The table with intervals, how far the voters agree, and the paper's rows where the points mean the same."""
    rows = [["criterion", "rankings", *(label(name) for name in methods)], ["---", "---:", *("---:" for _ in methods)]]
    for tally in tallies:
        best = _best(tally)
        cells = []
        for name in methods:
            score = tally.scores[name]
            text = f"**{score.points:.3f}**" if score.points == best else f"{score.points:.3f}"
            cells.append(f"{text} {_interval(score)}".strip())
        rows.append([tally.title, str(tally.rankings), *cells])
    table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
    parts = [table, caption(tallies, methods), "\n".join(f"- {line}" for line in agreement(tallies))]
    if len(methods) == len(USER_STUDY["aesthetic"]):
        parts.append(_paper_table(tallies))
    return "\n\n".join(parts) + "\n"


def latex_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """The table for booktabs, best in bold."""
    body = []
    for tally in tallies:
        points = [(tally.scores[name].points, f"{tally.scores[name].points:.3f}") for name in methods]
        cells = [f"\\textbf{{{text}}}" if value == _best(tally) else text for value, text in points]
        body.append(" & ".join([escape_latex(tally.title), *cells]) + r" \\")
    head = " & ".join(["Criterion", *(escape_latex(label(name)) for name in methods)]) + r" \\"
    comment = f"% {caption(tallies, methods)}"
    begin = f"\\begin{{tabular}}{{l{'r' * len(methods)}}}"
    return "\n".join([comment, begin, "\\toprule", head, "\\midrule", *body, "\\bottomrule", "\\end{tabular}", ""])


def csv_study(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """One line a criterion and method, full precision."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["criterion", "method", "points", "low", "high", "rankings", "voters", "kendall_w", "spearman"])
    for tally in tallies:
        agree = ["" if value is None else value for value in (tally.kendall_w, tally.spearman)]
        for name in methods:
            score = tally.scores[name]
            ends = score.interval or ("", "")
            writer.writerow([tally.key, name, score.points, *ends, tally.rankings, tally.voters, *agree])
    return buffer.getvalue()


def caption(tallies: Sequence[Tally], methods: Sequence[str]) -> str:
    """What the numbers are."""
    total, voters = sum(tally.rankings for tally in tallies), max(tally.voters for tally in tallies)
    text = f"Mean points, {len(methods)} for rank 1 to 1 for rank {len(methods)}; {total} rankings by {voters} voters"
    if voters < 2:
        return f"{text}; no interval from a single voter."
    return f"{text}, in brackets 95% intervals by bootstrap over voters, for these pages."


def agreement(tallies: Sequence[Tally]) -> list[str]:
    """One line a criterion on how alike the voters ranked."""
    lines = []
    for tally in tallies:
        if tally.kendall_w is None or tally.spearman is None:
            lines.append(f"{tally.title}: no question has answers of two voters, so their agreement is not known")
        else:
            lines.append(f"{tally.title}: Kendall's W {tally.kendall_w:.3f}, mean Spearman {tally.spearman:+.3f}")
    return lines


def _best(tally: Tally) -> float:
    return max(score.points for score in tally.scores.values())


def _interval(score: Score) -> str:
    return f"[{score.interval[0]:.3f}, {score.interval[1]:.3f}]" if score.interval else ""


def _paper_table(tallies: Sequence[Tally]) -> str:
    names = list(USER_STUDY["aesthetic"])
    rows = [["as printed", *(f"{name} (paper)" for name in names)], ["---", *("---:" for _ in names)]]
    rows += [[tally.title, *(f"{USER_STUDY[tally.key][name]:.3f}" for name in names)] for tally in tallies]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\nAs printed in {USER_STUDY_SOURCE}: other pages, other voters."
