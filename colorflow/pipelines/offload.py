"""Stages that take turns on a device, so that the largest one sets the memory and not their sum.

accelerate's hooks (diffusers' ``enable_model_cpu_offload``) are a chain of modules, each called through
its own ``forward``. Here two work together, and parts of the autoencoder are called alone: so the hooks are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import AutoencoderKL
from torch import nn

from colorflow.models.gsrp.model import GSRPModel
from colorflow.pipelines.icp import ICPPipeline
from colorflow.retrieval.retriever import Retriever

Move = Callable[[nn.Module, torch.device], object]


class Turns:
    """Groups of modules of which one at a time is on the device; the others wait on the host.

    A group's turn begins with the forward pass of any of its entries. Weights are copied, never changed: results are
    the same bits.

    Args:
        device: Where modules run.
        host: Where they wait.
        move: How a module is moved; default: by its ``to``.
    """

    def __init__(self, device: torch.device | str, host: torch.device | str = "cpu", move: Move = nn.Module.to) -> None:
        self.device, self.host, self.move = torch.device(device), torch.device(host), move
        self._groups: list[tuple[nn.Module, ...]] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._here: int | None = None

    def add(self, entries: Sequence[nn.Module], modules: Sequence[nn.Module]) -> None:
        """Add a group and send it to the host.

        Args:
            entries: Their forward pass begins its turn.
            modules: What moves; may be empty: then the turn only sends the others away.
        """
        number = len(self._groups)
        self._groups.append(tuple(modules))
        self._send(number, self.host)
        for entry in entries:
            self._hooks.append(entry.register_forward_pre_hook(lambda *_: self.take(number)))

    def take(self, number: int) -> None:
        """Send all other groups away and bring this one."""
        if number == self._here:
            return
        self._here = None  # should a move fail, the next turn sorts it out
        for other in range(len(self._groups)):
            if other != number:
                self._send(other, self.host)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # blocks of the weights' sizes are of no use to activations
        self._send(number, self.device)
        self._here = number

    def end(self) -> None:
        """Bring everything to the device for good."""
        for hook in self._hooks:
            hook.remove()
        for number in range(len(self._groups)):
            self._send(number, self.device)

    # Retrieval runs in inference mode; weights moved there could not be moved again outside of it.
    @torch.inference_mode(False)
    @torch.no_grad()
    def _send(self, number: int, device: torch.device) -> None:
        for module in self._groups[number]:
            self.move(module, device)


def take_turns(turns: Turns, vae: AutoencoderKL, networks: Sequence[nn.Module], towers: Sequence[nn.Module]) -> Turns:
    """Let retrieval, the denoising networks and the autoencoder (with guided super-resolution) take turns.

    The autoencoder itself, 0.2 GB of SD1.5's 5 in bfloat16, has to be on the device and stays there: half of the
    stages need it.

    Args:
        turns: Without groups so far.
        vae: Its two halves begin with ``conv_in``, whoever calls them.
        networks: Guider and base network: one group, as both run at every step.
        towers: Image encoders of retrieval; none where they run elsewhere.
    """
    turns.add((vae.encoder.conv_in, vae.decoder.conv_in), ())
    turns.add(networks, networks)
    turns.add(towers, towers)
    return turns


def offload_stages(icp: ICPPipeline, gsrp: GSRPModel | None, retriever: Retriever, device: torch.device) -> Turns:
    """Send the parts of a pipeline where they belong and let them take turns; images pass the VAE one at a time."""
    for stays in (icp.model.vae, *([] if gsrp is None else [gsrp])):
        stays.to(device)
    icp.model.vae.enable_slicing()
    return take_turns(Turns(device), icp.model.vae, (icp.model.guider, icp.model.network), towers_on(device, retriever))


def towers_on(device: torch.device, retriever: Retriever) -> list[nn.Module]:
    """The image encoder of a retriever, where it has one that runs on this kind of device."""
    tower = getattr(getattr(retriever, "encoder", None), "tower", None)
    if not isinstance(tower, nn.Module) or next(tower.parameters()).device.type != device.type:
        return []
    return [tower]
