"""The user study of table 6: a static page on which people rank methods blindly, and the count of their votes.

``python -m colorflow.evaluation.user_study build results=DIR output=DIR`` and ``... tally VOTES.json...``.
"""

from colorflow.evaluation.user_study.build import StudyOptions, build_study
from colorflow.evaluation.user_study.tally import Tally, tally_votes
from colorflow.evaluation.user_study.votes import StudyError, read_votes

__all__ = ["StudyError", "StudyOptions", "Tally", "build_study", "read_votes", "tally_votes"]
