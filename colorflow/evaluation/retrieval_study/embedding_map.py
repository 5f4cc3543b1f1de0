"""Embeddings on a plane: t-SNE, as the paper's Fig. 9."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PERPLEXITY = 10.0
"""Neighbours that a picture tries to keep: about as many as a character has pictures (our choice)."""


def map_perplexity(count: int) -> float:
    """``PERPLEXITY``, or what as few as ``count`` pictures allow."""
    return min(PERPLEXITY, (count - 1) / 3)


def embedding_map(embeddings: Tensor, seed: int) -> NDArray[np.float64]:
    """Lay embeddings out on a plane.

    Args:
        embeddings: ``(N, D)``, at least 4.
        seed: Of the optimization; the start is the principal plane, so that it changes little.

    Returns:
        ``(N, 2)``, each axis stretched to [0, 1]: lengths on such a map mean nothing, neighbours do.
    """
    from sklearn.manifold import TSNE  # half a second to import: only where it is used

    tsne = TSNE(perplexity=map_perplexity(len(embeddings)), metric="cosine", init="pca", random_state=seed)
    places = tsne.fit_transform(embeddings.double().numpy()).astype(np.float64)
    low, high = places.min(0), places.max(0)
    return np.asarray((places - low) / np.maximum(high - low, 1e-12))
