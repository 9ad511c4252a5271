"""The network: a small U-Net over a view of the picture and of what the clicks say, and its file of weights."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.segmenters.geonet.inputs import CHANNELS, ENERGY

__all__ = ["WEIGHTS", "GeonetNetwork", "OpenedNetwork", "load_network", "save_network"]

WEIGHTS = Path(__file__).with_name("geonet.safetensors")
"""The weights that ship."""

_KEY, _FORMAT = "ibisagent", "geonet-1"
_HEAD = 16  # channels before the last layer


def _convolve(taken: int, given: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(taken, given, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(given), nn.ReLU(inplace=True))


class GeonetNetwork(nn.Module):
    """A U-Net from 1/2 of the view's resolution down; log odds = what it changes + a gain times geocut's energy.

    ``widths``: channels at 1/2, 1/4, 1/8 and so on. A global mean joins at the bottom; the last layer sees the input
    again.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 160)) -> None:
        """Draw the weights."""
        super().__init__()
        self.widths = widths
        taken = (len(CHANNELS), *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(_convolve(one, other, stride=2), _convolve(other, other))
            for one, other in zip(taken, widths, strict=True)
        )
        self.everywhere = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            nn.Sequential(_convolve(lower + own, own), _convolve(own, own))
            for lower, own in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Sequential(_convolve(widths[0] + len(CHANNELS), _HEAD), nn.Conv2d(_HEAD, 1, 1))
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return log odds, (B, H, W), of inputs (B, channels, H, W), H and W divisible by 2 ** len(widths)."""
        levels, values = [], inputs
        for level in self.down:
            values = level(values)
            levels.append(values)
        values = values + self.everywhere(values.mean(dim=(2, 3)))[:, :, None, None]
        for level, skipped in zip(self.up, levels[-2::-1], strict=True):
            values = level(torch.cat([_enlarge(values), skipped], dim=1))
        change: Tensor = self.head(torch.cat([_enlarge(values), inputs], dim=1))[:, 0]
        return change + self.gain * 6.0 * inputs[:, ENERGY]


def _enlarge(values: Tensor) -> Tensor:
    return nn.functional.interpolate(values, scale_factor=2.0, mode="nearest")


class OpenedNetwork(NamedTuple):
    """A network in evaluation mode, and the first digits of its file's SHA-256."""

    network: GeonetNetwork
    digest: str


def save_network(network: GeonetNetwork, path: Path) -> None:
    """Write the weights as float16 with what is needed to build the network again, whole or not at all."""
    tensors = {
        name: value.to(torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    described = {"format": _FORMAT, "channels": CHANNELS, "widths": network.widths}
    with atomic_write(path) as part:
        save_file(tensors, part, metadata={_KEY: json.dumps(described)})  # several keys would be in any order


@cache
def load_network(path: Path = WEIGHTS) -> OpenedNetwork:
    """Open a file of weights; `InputError` for one that cannot be read or is not of such a network."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        with safe_open(path, "pt") as file:
            described = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{printable_text(path)}: could not be read ({reason}), expected weights of geonet; name their file"
        ) from None
    if described.get("format") != _FORMAT or tuple(described.get("channels", ())) != CHANNELS:
        got = f"got weights of {described.get('format', 'something else')!r}"
        raise InputError(f"{printable_text(path)}: {got}, expected {_FORMAT!r} and its channels; train them anew")
    network = GeonetNetwork(tuple(described["widths"]))
    missing = network.load_state_dict(tensors, strict=False).missing_keys
    if any(not name.endswith("num_batches_tracked") for name in missing):
        raise InputError(f"{printable_text(path)}: got no {missing[0]}, expected all weights; copy the file again")
    network.eval().requires_grad_(requires_grad=False)
    return OpenedNetwork(network, digest)
