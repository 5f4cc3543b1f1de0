"""The toon family that follows characters: Stable Diffusion's network and guider, a codec and a start of its own."""

from colorflow.models.family import Family
from colorflow.models.sd.denoiser import SDDenoiser
from colorflow.models.sd.text import encode_prompt, random_prompt
from colorflow.models.toon.codec import PatchCodec
from colorflow.models.toon.start import start_mimetic

FAMILY = Family("toon", SDDenoiser, encode_prompt, random_prompt, vae_class=PatchCodec, start=start_mimetic)
