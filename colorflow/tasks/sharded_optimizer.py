"""ZeRO stage 1: the optimizer's moments divided over the devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch.distributed
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer


def zero1(
    parameters: Iterable[tuple[str, nn.Parameter]], optimizer_class: type[Optimizer], **settings: Any
) -> Optimizer:
    """Give every device the moments of a part of the parameters (Rajbhandari et al., 2020, stage 1).

    A step computes what the optimizer itself would, then every device gets the parameters that others updated.
    Checkpoints hold the moments whole, as the optimizer's own do: a run goes on with any number of devices.

    Args:
        parameters: Names and parameters of what is trained, the same on all devices.
        optimizer_class: The optimizer; it must treat every parameter by itself, as Adam and SGD do.
        settings: Its arguments: learning rate and so on.

    Returns:
        The divided optimizer, or on a single device the optimizer itself: there is nothing to divide.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return optimizer_class(parameters, **settings)
    trained = [parameter for _, parameter in parameters]
    return ZeroRedundancyOptimizer(trained, optimizer_class=optimizer_class, **settings)
