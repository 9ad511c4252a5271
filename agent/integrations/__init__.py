"""Integration into other agents: a tool, a node, a fan-out over targets, and summaries of their masks.

Every name is imported on its first use, so that an optional package is required only then.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibisagent.agent.integrations.error_messages import user_message
    from ibisagent.agent.integrations.image_blocks import (
        move_images_to_user_message,
        overlay_block,
        user_message_images_middleware,
    )
    from ibisagent.agent.integrations.image_catalog import ImageCatalog
    from ibisagent.agent.integrations.label_map import LabelMap, merge_labels, render_label_map
    from ibisagent.agent.integrations.multi_target import FanOutState, fan_out
    from ibisagent.agent.integrations.subgraph import segmentation_node, shared_state_graph
    from ibisagent.agent.integrations.summary import RunSummary, summarize, summarize_result
    from ibisagent.agent.integrations.tool import segmentation_tool

__all__ = [
    "FanOutState",
    "ImageCatalog",
    "LabelMap",
    "RunSummary",
    "fan_out",
    "merge_labels",
    "move_images_to_user_message",
    "overlay_block",
    "render_label_map",
    "segmentation_node",
    "segmentation_tool",
    "shared_state_graph",
    "summarize",
    "summarize_result",
    "user_message",
    "user_message_images_middleware",
]

_MODULES = {
    "error_messages": ("user_message",),
    "image_blocks": ("move_images_to_user_message", "overlay_block", "user_message_images_middleware"),
    "image_catalog": ("ImageCatalog",),
    "label_map": ("LabelMap", "merge_labels", "render_label_map"),
    "multi_target": ("FanOutState", "fan_out"),
    "subgraph": ("segmentation_node", "shared_state_graph"),
    "summary": ("RunSummary", "summarize", "summarize_result"),
    "tool": ("segmentation_tool",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
