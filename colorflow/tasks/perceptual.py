"""LPIPS as a loss, loaded only where it has a weight."""

from __future__ import annotations

from torch import Tensor, nn


class PerceptualDistance(nn.Module):
    """LPIPS with VGG features (Zhang et al. 2018), frozen; torchmetrics' implementation.

    Raises:
        RuntimeError: If torchvision's VGG weights can be neither found nor downloaded.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        try:
            metric = LearnedPerceptualImagePatchSimilarity("vgg")
        except (OSError, RuntimeError, ValueError) as error:  # a URLError is an OSError
            raise RuntimeError(
                f"lpips_weight: expected torchvision's VGG-16 weights, could not have them ({error}); download "
                "vgg16-397923af.pth into $TORCH_HOME/hub/checkpoints on a machine with a network, or set lpips_weight=0"
            ) from error
        self.network = metric.net.requires_grad_(False).eval()  # without the metric's state

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        """Mean distance of ``(B, 3, H, W)`` images in [-1, 1]; scalar."""
        return self.network(preds, target).mean()
