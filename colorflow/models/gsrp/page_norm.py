"""The norm of the fusion network: every page by its own statistics, or by those kept from training."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import instance_norm

NormMode = Literal["batch", "running"]


class PageNorm(nn.BatchNorm2d):
    """Batch normalization whose statistics are each page's own (``batch``) or those kept from training (``running``).

    ``batch`` is what the released demo computes: it leaves the network in training mode and shows it one page at a
    time, so that the "batch" is a page. Here every page of a batch is normalized alone, in training as at inference;
    with one page that equals batch normalization. The running statistics are still kept while training.
    ``running`` is textbook batch normalization: statistics of the whole batch in training, kept ones afterwards.
    """

    norm_mode: NormMode = "batch"

    def forward(self, input: Tensor) -> Tensor:  # the name that torch gave it
        """Normalize ``(B, C, h, w)``; not one pixel alone in mode ``batch``."""
        if self.norm_mode == "running":
            return super().forward(input)
        mean, variance = self.running_mean, self.running_var
        if not self.training:
            mean = variance = None  # so that inference changes nothing
        elif self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return instance_norm(input, mean, variance, self.weight, self.bias, True, self.momentum or 0.1, self.eps)
