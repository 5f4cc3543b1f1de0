"""How much may be uploaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much one visitor may upload (defaults: our choice).

    Attributes:
        pages: Pages to colour.
        references: Pages in colour.
        megapixels: Of a picture.
        megabytes: Of a file.

    Raises:
        ValueError: For a limit that lets nothing pass.
    """

    pages: int = 60
    references: int = 24
    megapixels: float = 16.0
    megabytes: float = 32.0

    def __post_init__(self) -> None:
        """Refuse what is not positive."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"--max-{name}: expected a number above 0, got {value:g}")
