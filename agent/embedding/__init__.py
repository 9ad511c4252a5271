"""Inside other agents: a tool, a node, a fan-out over targets, and what they tell about a mask.

Every name is imported on its first use, so that one that needs a package asks for it then.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibisagent.agent.embedding.apologies import apology
    from ibisagent.agent.embedding.blocks import overlay_block, pictures_beside, pictures_middleware
    from ibisagent.agent.embedding.fanning import Targets, fan_out
    from ibisagent.agent.embedding.labelling import LabelMap, merge_labels, paint
    from ibisagent.agent.embedding.nodes import segmentation_node, shared_state
    from ibisagent.agent.embedding.pictures import Pictures
    from ibisagent.agent.embedding.telling import Told, tell, told_by
    from ibisagent.agent.embedding.tool import segmentation_tool

__all__ = [
    "LabelMap",
    "Pictures",
    "Targets",
    "Told",
    "apology",
    "fan_out",
    "merge_labels",
    "overlay_block",
    "paint",
    "pictures_beside",
    "pictures_middleware",
    "segmentation_node",
    "segmentation_tool",
    "shared_state",
    "tell",
    "told_by",
]

_ROOMS = {
    "apologies": ("apology",),
    "blocks": ("overlay_block", "pictures_beside", "pictures_middleware"),
    "fanning": ("Targets", "fan_out"),
    "labelling": ("LabelMap", "merge_labels", "paint"),
    "nodes": ("segmentation_node", "shared_state"),
    "pictures": ("Pictures",),
    "telling": ("Told", "tell", "told_by"),
    "tool": ("segmentation_tool",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
