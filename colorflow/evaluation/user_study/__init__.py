"""The user study of table 6: a static page on which people rank methods blindly, and the count of their votes.

``python -m colorflow.evaluation.user_study build results=DIR output=DIR`` and ``... tally VOTES.json...``.
"""
