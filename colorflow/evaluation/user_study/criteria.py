"""The three criteria of table 6, and what a voter is asked and shown for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Criterion:
    """One question.

    Attributes:
        key: Name in votes and tables.
        title: As the paper's table 6 has it.
        question: What the voter reads (our wording; the paper prints none).
        shows: ``page``: one page of each candidate; ``sequence``: several pages in a row.
        beside: What stands beside the candidates: nothing, the original page, or the reference pages.
    """

    key: str
    title: str
    question: str
    shows: Literal["page", "sequence"]
    beside: Literal["", "original", "references"]


CRITERIA = (
    # First, while the voter has not seen the original.
    Criterion(
        "aesthetic",
        "Aesthetic quality",
        "Which of these colourings looks best? Judge it as a picture, whatever the right colours may be.",
        "page",
        "",
    ),
    Criterion(
        "similarity",
        "Similarity to the original",
        "Which of these is closest to the original page in its colours?",
        "page",
        "original",
    ),
    Criterion(
        "consistency",
        "Consistency in sequences",
        "These are pages of one chapter. In which do characters, clothes and places keep their colours best, from page "
        "to page and compared with the reference pages?",
        "sequence",
        "references",
    ),
)
