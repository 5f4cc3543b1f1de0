"""Muon for matrices and convolutions, AdamW for the rest, behind one optimizer.

``torch.optim.Muon`` takes matrices alone, one at a time, and computes in bfloat16, for which a CPU without such units
takes forty times as long as for float32. Here equal shapes go together, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

ENDS = (
    "conv_in",
    "conv_in_condition",
    "conv_out",
    "time_embedding",
    "brushnet_down_blocks",
    "brushnet_mid_block",
    "brushnet_up_blocks",
)
"""Modules that AdamW trains: input and output, and the guider's 1 x 1 convolutions (our choice)."""


class MuonAdamW(AdamW):
    """Orthogonalized momentum (Jordan et al. 2024) for what is inside a network, AdamW for its ends, norms and biases.

    A convolution ``(out, in, 3, 3)`` counts as a matrix ``(out, 9 in)``. Updates are scaled to AdamW's size (Liu et al.
    2025, "Muon is scalable for LLM training", Eq. 4), so that one learning rate serves both.

    Args:
        params: Name and parameter of what is trained.
        lr: Learning rate.
        betas: AdamW's.
        weight_decay: Of both, decoupled.
        momentum: Muon's, Nesterov.
        ends: Names of modules whose parameters AdamW trains.

    Raises:
        ValueError: If no parameter is left for Muon.
    """

    def __init__(
        self,
        params: Iterable[tuple[str, nn.Parameter]],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 1e-2,
        momentum: float = 0.95,
        ends: Sequence[str] = ENDS,
    ) -> None:
        matrices: list[tuple[str, nn.Parameter]] = []
        rest: list[tuple[str, nn.Parameter]] = []
        for name, parameter in params:
            inside = parameter.ndim >= 2 and not set(name.split(".")) & set(ends)
            (matrices if inside else rest).append((name, parameter))
        if not matrices:
            raise ValueError("MuonAdamW: expected matrices or convolutions to train, got none; use AdamW")
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": matrices, "momentum": momentum}]
        super().__init__(groups[not rest :], lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of both; returns what the closure gave."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        self.param_groups = [group for group in groups if "momentum" not in group]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if "momentum" in group:
                self._step_matrices(group)
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())  # AdamW looks for it where a state is loaded
                state["momentum_buffer"] = torch.zeros_like(parameter.grad)
            average = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
            update = parameter.grad.lerp(average, group["momentum"]).flatten(1)
            shapes.setdefault((update.shape[0], update.shape[1]), []).append((parameter, update))
        for shape, pairs in shapes.items():
            directions = orthogonalized(torch.stack([update for _, update in pairs]))
            length = 0.2 * max(shape) ** 0.5 * group["lr"]
            for (parameter, _), direction in zip(pairs, directions, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(length * direction.view_as(parameter))


def orthogonalized(matrices: Tensor) -> Tensor:
    """Matrices ``(K, m, n)`` with singular values brought near 1: five Newton-Schulz steps with Jordan's coefficients.

    Every step multiplies by a polynomial of X X^T, and these commute: so they are multiplied up on the smaller side,
    and X is touched twice. In float32, for which they are small enough.
    """
    wide = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    gram = wide @ wide.mT
    one = product = torch.eye(gram.shape[-1], device=gram.device).expand_as(gram)
    for _ in range(5):
        step = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
        product, gram = step @ product, step @ gram @ step
    found = product @ wide
    return found.mT if matrices.shape[-2] > matrices.shape[-1] else found
