"""PixArt-alpha, the base of the released sketch and shading models."""

from colorflow.models.family import Family
from colorflow.models.pixart.denoiser import PixArtDenoiser
from colorflow.models.pixart.layout import PixArtLayout
from colorflow.models.pixart.text import encode_prompt, random_prompt

FAMILY = Family("pixart", PixArtDenoiser, encode_prompt, random_prompt, PixArtLayout())
