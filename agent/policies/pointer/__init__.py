"""A small vision-language model that predicts maps of its target and clicks before it writes, and clicks by them.

Its parts, in the order in which a picture and a request pass them: `vision_encoder`, `pointer_head`, `modeling`.
transformers' auto classes know it once this package is imported.
"""

from transformers import AutoConfig, AutoModelForImageTextToText

from ibisagent.agent.policies.pointer.configuration import PointerConfig
from ibisagent.agent.policies.pointer.modeling import PointerForConditionalGeneration
from ibisagent.agent.policies.pointer.outputs import PointerOutput, PointerState

__all__ = ["PointerConfig", "PointerForConditionalGeneration", "PointerOutput", "PointerState"]

AutoConfig.register(PointerConfig.model_type, PointerConfig, exist_ok=True)
AutoModelForImageTextToText.register(PointerConfig, PointerForConditionalGeneration, exist_ok=True)
