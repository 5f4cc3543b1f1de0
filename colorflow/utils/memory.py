"""Peak memory of tensors, by stage: counted op by op without a GPU, or told by CUDA's allocator."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class StagePeaks:
    """Peak bytes of every stage that was entered.

    Attributes:
        stages: Peak bytes by label; a stage entered again keeps its largest.
    """

    def __init__(self) -> None:
        self.stages: dict[str, int] = {}

    @property
    def peak(self) -> int:
        """Bytes of the largest stage."""
        return max(self.stages.values(), default=0)

    def note(self, label: str, size: int) -> None:
        """Record ``size`` bytes for a stage."""
        self.stages[label] = max(self.stages.get(label, 0), size)


class MemoryTracker(StagePeaks):
    """Live bytes of the storages on one device: a storage counts once, whatever views it, until it is freed.

    Counted is what ops return while the tracker is entered (also where that is a view of something older), and what
    `hold` was told of. Meant for the meta device, where networks of any size run without memory. There
    `scaled_dot_product_attention` is taken to be a fused kernel, as on a GPU: it holds its output and one float32 a
    query, never the scores, into which the meta device would decompose it. Not counted: workspaces inside kernels
    (cuDNN's convolutions), the CUDA context, and what an allocator rounds up or cannot join.

    Args:
        device: Kind of device that is counted.
    """

    def __init__(self, device: torch.device | str = "meta") -> None:
        super().__init__()
        self.device = torch.device(device)
        self.live = 0
        self._sizes: dict[int, int] = {}
        self._label: str | None = None
        self._modes = ExitStack()

    def __enter__(self) -> Self:
        """Count from here on."""
        if self.device.type == "meta":
            self._modes.enter_context(_fused_attention())
        self._modes.enter_context(_EveryOutput(self))
        return self

    def __exit__(self, *error: object) -> None:
        """Stop looking at new tensors; those that are counted still leave when they are freed."""
        self._modes.close()

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        """Peaks inside count for this label."""
        outer, self._label = self._label, label
        self.note(label, self.live)
        try:
            yield
        finally:
            self._label = outer

    def hold(self, *owners: nn.Module | Tensor) -> None:
        """Count tensors that were there before, or the parameters and buffers of modules."""
        for tensor in _tensors(owners):
            self.see(tensor)

    def release(self, *owners: nn.Module | Tensor) -> None:
        """Count them no longer: stands in for moving them away, which the meta device cannot do."""
        for tensor in _tensors(owners):
            self._forget(tensor.untyped_storage()._cdata)

    def see(self, tensor: Tensor) -> None:
        """Count a tensor's storage, if it is on the device and new."""
        if tensor.device.type != self.device.type:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            weakref.finalize(storage, self._forget, key).atexit = False
            self._sizes[key] = storage.nbytes()
            self.live += self._sizes[key]
        if self._label is not None:
            self.note(self._label, self.live)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key, 0)


class AllocatorPeaks(StagePeaks):
    """The same stages by the peak of what CUDA's allocator handed out: weights and all, without the context.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device | str = "cuda") -> None:
        super().__init__()
        self.device = torch.device(device)

    def __enter__(self) -> Self:
        """Nothing to start: the allocator always counts."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to end."""

    @contextmanager
    def stage(self, label: str) -> Iterator[None]:
        """Peaks inside count for this label; stages cannot be nested."""
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        yield
        torch.cuda.synchronize(self.device)
        self.note(label, torch.cuda.max_memory_allocated(self.device))


class _EveryOutput(TorchDispatchMode):
    """Shows a tracker what every op returns."""

    def __init__(self, tracker: MemoryTracker) -> None:
        super().__init__()
        self.tracker = tracker

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self.tracker.see(leaf)
        return output


class _FusedAttention(torch.autograd.Function):
    """What a fused kernel allocates: it keeps its inputs, its output and the log-sum-exp where gradients are wanted."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        *batch, heads, length, _ = query.shape
        log_sum_exp = query.new_empty((*batch, heads, length), dtype=torch.float32)
        output = query.new_empty((*batch, length, heads, value.shape[-1])).transpose(-3, -2)
        ctx.save_for_backward(query, key, value, output, log_sum_exp)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention on the meta device as fused kernels allocate it: log-sum-exp, output in (batch, query, head) order.

    By replacing torch's function: a `TorchFunctionMode` would not be asked for calls inside of other such functions
    (`torch.nn.MultiheadAttention` has one), and dispatch modes see what it was decomposed into.
    """
    original = functional.scaled_dot_product_attention

    def fused(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if query.device.type != "meta":
            return original(query, key, value, *args, **kwargs)
        return cast(Tensor, _FusedAttention.apply(query, key, value))

    functional.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original


def _tensors(owners: Sequence[nn.Module | Tensor]) -> Iterator[Tensor]:
    for owner in owners:
        if isinstance(owner, Tensor):
            yield owner
        else:
            yield from chain(owner.parameters(), owner.buffers())
