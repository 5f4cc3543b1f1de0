"""Toon chapters: seeded, generated comics whose colours only a reference can tell.

``draw_chapter`` draws pages in memory, ``write_chapters`` writes a folder of chapters.
"""

from colorflow.toon.files import name_set, write_chapters
from colorflow.toon.page import draw_chapter, draw_page
from colorflow.toon.spec import PARTS, ToonCharacter, ToonPage, ToonSpec
from colorflow.toon.world import cast_of, paint_world

__all__ = [
    "PARTS",
    "ToonCharacter",
    "ToonPage",
    "ToonSpec",
    "cast_of",
    "draw_chapter",
    "draw_page",
    "name_set",
    "paint_world",
    "write_chapters",
]
