"""Inside other agents: a tool, a node, a fan-out over targets, and what they tell about a mask.

Every name is imported on its first use, so that one that needs a package asks for it then.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibisagent.agent.integrations.fan_out import Targets, fan_out
    from ibisagent.agent.integrations.image_blocks import overlay_block, pictures_beside, pictures_middleware
    from ibisagent.agent.integrations.image_catalog import Pictures
    from ibisagent.agent.integrations.label_map import LabelMap, merge_labels, paint
    from ibisagent.agent.integrations.subgraph import segmentation_node, shared_state
    from ibisagent.agent.integrations.summary import Told, tell, told_by
    from ibisagent.agent.integrations.tool import segmentation_tool
    from ibisagent.agent.integrations.user_message import apology

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
