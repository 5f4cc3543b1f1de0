"""A machine-readable note in every result that a model coloured it, which the paper's ethics section asks for."""

from __future__ import annotations

from PIL.PngImagePlugin import PngInfo

from colorflow import __version__

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC digital source type: a picture in which a trained model made a part, here the colour."""

_XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
_NOTE = "Coloured by an AI model (ColorFlow) from a black-and-white page."


def provenance() -> PngInfo:
    """PNG chunks that say so to people (Description, Software) and to machines (XMP, IPTC digital source type)."""
    info = PngInfo()
    info.add_text("Description", _NOTE)
    info.add_text("Software", f"colorflow {__version__}")
    info.add_itxt("XML:com.adobe.xmp", _XMP)
    return info
