"""Inside other agents: a tool, a node, a fan-out over targets, and what they tell about a mask.

Every name is imported on its first use, so that one that needs a package asks for it then.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibisagent.agent.integrations.fan_out import FanOutState, fan_out
    from ibisagent.agent.integrations.image_blocks import overlay_block, move_images_to_user_message, user_message_images_middleware
    from ibisagent.agent.integrations.image_catalog import ImageCatalog
    from ibisagent.agent.integrations.label_map import LabelMap, merge_labels, render_label_map
    from ibisagent.agent.integrations.subgraph import segmentation_node, shared_state
    from ibisagent.agent.integrations.summary import RunSummary, summarize_result, summarize
    from ibisagent.agent.integrations.tool import segmentation_tool
    from ibisagent.agent.integrations.user_message import user_message

__all__ = [
    "LabelMap",
    "ImageCatalog",
    "FanOutState",
    "RunSummary",
    "user_message",
    "fan_out",
    "merge_labels",
    "overlay_block",
    "render_label_map",
    "move_images_to_user_message",
    "user_message_images_middleware",
    "segmentation_node",
    "segmentation_tool",
    "shared_state",
    "summarize_result",
    "summarize",
]

_MODULES = {
    "fan_out": ("Targets", "fan_out"),
    "image_blocks": ("overlay_block", "pictures_beside", "pictures_middleware"),
    "image_catalog": ("Pictures",),
    "label_map": ("LabelMap", "merge_labels", "paint"),
    "subgraph": ("segmentation_node", "shared_state"),
    "summary": ("Told", "tell", "told_by"),
    "tool": ("segmentation_tool",),
    "user_message": ("apology",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
