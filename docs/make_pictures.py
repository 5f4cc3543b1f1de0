"""Draw the pictures of README and docs: ``python docs/make_pictures.py``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from colorflow.canvas import query_box, stitch
from colorflow.retrieval.encoders import HogEncoder
from colorflow.retrieval.retriever import SimilarityRetriever, reference_pool
from colorflow.styles.sheets import draw_sheet
from colorflow.toon import ToonSpec, draw_chapter
from colorflow.utils.images import save_png

SIZE = (256, 384)
CHAPTER, QUERY = 3, 1
STYLED, STYLED_SIZE, STYLE_SEED = 1, (320, 480), 4


def canvas_picture() -> Image.Image:
    """What the model is shown, and what it is trained to answer, side by side."""
    pages = [page.color for page in draw_chapter(CHAPTER, 9, ToonSpec(size=SIZE))]
    others = [page for number, page in enumerate(pages) if number != QUERY]
    retriever = SimilarityRetriever(HogEncoder())
    pool = retriever.index(reference_pool([str(number) for number in range(len(others))], others), SIZE)
    query = pages[QUERY].convert("L").convert("RGB")
    chosen = retriever.select(query, pool, seed=0)
    target = stitch(pages[QUERY], {(c.quadrant, c.rank): pool.patch_image(c.reference, c.patch) for c in chosen})
    condition = target.copy()
    condition.paste(query, query_box(SIZE))
    picture = Image.new("RGB", (2 * target.width + 24, target.height), "white")
    picture.paste(condition, (0, 0))
    picture.paste(target, (target.width + 24, 0))
    return picture


def styles_picture() -> Image.Image:
    """Every input style that needs no weights, of one page."""
    page = draw_chapter(CHAPTER, STYLED + 1, ToonSpec(size=STYLED_SIZE))[STYLED].color
    return draw_sheet([page], seed=STYLE_SEED)


def main() -> None:
    """Write every picture; 128 colours are enough for flat ones."""
    assets = Path(__file__).parent / "assets"
    save_png(canvas_picture().quantize(128), assets / "canvas.png")
    save_png(styles_picture().quantize(128), assets / "styles.png")


if __name__ == "__main__":
    main()
