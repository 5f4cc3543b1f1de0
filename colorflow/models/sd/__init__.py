"""Stable Diffusion v1.5 (the paper's base), and anything with such a U-Net: toon."""

from colorflow.models.family import Family
from colorflow.models.sd.denoiser import SDDenoiser
from colorflow.models.sd.layout import SDLayout
from colorflow.models.sd.text import encode_prompt, random_prompt

FAMILY = Family("sd", SDDenoiser, encode_prompt, random_prompt, SDLayout())
