"""The folder of a coloured chapter: pages, their manifest, attention maps; what of it is there and whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from colorflow import __version__
from colorflow.schema import Page
from colorflow.utils.files import append_jsonl, read_jsonl, write_text_atomic
from colorflow.utils.hashing import digest_file
from colorflow.utils.images import save_png
from colorflow.utils.log import get_logger

MANIFEST = "manifest.jsonl"
SHEET = "contact_sheet.png"
ATTENTION = "attention"
_ASKED = "colorflow attention"

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC digital source type: a picture in which a trained model made a part, here the colour."""

_XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
_NOTE = "Coloured by an AI model (ColorFlow) from a black-and-white page."

logger = get_logger(__name__)


@dataclass(frozen=True)
class ChapterFolder:
    """Reads and writes it.

    Attributes:
        path: The folder.
        settings: What results hang on apart from their page; noted with each.
    """

    path: Path
    settings: Mapping[str, Any]

    def result(self, page: Page) -> Path:
        """Where a page's result is."""
        return self.path / f"{page.name}.png"

    def records(self) -> dict[str, dict[str, Any]]:
        """The manifest: the last record of each page, by name."""
        path = self.path / MANIFEST
        return {record["page"]: record for record in read_jsonl(path)} if path.is_file() else {}

    def keep_whole(self, pages: Sequence[Page], overwrite: bool) -> dict[str, dict[str, Any]]:
        """Reduce the manifest to the pages that are there and whole.

        Args:
            pages: Pages of the chapter.
            overwrite: Keep none.

        Returns:
            Their records, by name.
        """
        path, found = self.path / MANIFEST, self.records()
        whole = {
            page.name: found[page.name]
            for page in pages
            if not overwrite and page.name in found and self._is_whole(found[page.name], page)
        }
        if path.is_file():  # also where nothing is left out: a torn last line goes, and repeated records
            write_text_atomic("".join(json.dumps(record) + "\n" for record in whole.values()), path)
        if other := [name for name, record in whole.items() if record["settings"] != self.settings]:
            logger.warning(
                "%s: %d pages made with other settings are kept; options.overwrite=true colours them again",
                path,
                len(other),
            )
        return whole

    def write(self, page: Page, image: Image.Image, made: Mapping[str, Any]) -> None:
        """Write a result, then its record: a kill between the two costs this page only.

        Args:
            page: The page.
            image: Its result.
            made: What the record says; ``kind`` is ``colored`` or ``passed_through``.
        """
        target = self.result(page)
        save_png(image, target, provenance() if made["kind"] == "colored" else None)
        record = {"page": page.name, **made, "input_sha256": digest_file(page.path), "sha256": digest_file(target)}
        append_jsonl(record | {"size": list(image.size), "settings": dict(self.settings)}, self.path / MANIFEST)

    def has_attention(self, page: Page, asked: Mapping[str, Any]) -> bool:
        """Whether the attention map that is asked for is there; one of other settings, or of another input, is not."""
        file = self._attention(page)
        if not file.is_file():
            return False
        with Image.open(file) as picture:
            return bool(picture.info.get(_ASKED) == self._attention_note(page, asked))

    def write_attention(self, page: Page, picture: Image.Image, asked: Mapping[str, Any]) -> None:
        """Write an attention map, with what was asked in it."""
        info = provenance()
        info.add_text(_ASKED, self._attention_note(page, asked))
        save_png(picture, self._attention(page), info)

    def _attention(self, page: Page) -> Path:
        return self.path / ATTENTION / f"{page.name}.png"

    def _attention_note(self, page: Page, asked: Mapping[str, Any]) -> str:
        return json.dumps({**asked, **self.settings, "input_sha256": digest_file(page.path)})

    def _is_whole(self, record: Mapping[str, Any], page: Page) -> bool:
        target = self.result(page)
        return (
            target.is_file()
            and digest_file(target) == record["sha256"]
            and digest_file(page.path) == record["input_sha256"]
        )


def provenance() -> PngInfo:
    """PNG chunks that say that a model coloured it, as the paper's ethics section asks for.

    To people by Description and Software, to machines by XMP with the IPTC digital source type.
    """
    info = PngInfo()
    info.add_text("Description", _NOTE)
    info.add_text("Software", f"colorflow {__version__}")
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    return info
