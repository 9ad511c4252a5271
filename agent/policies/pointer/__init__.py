"""A small vision-language model that draws its target before it writes, and reads its clicks off the drawing.

Its parts, in the order in which a picture and a request pass them: `seeing`, `drawing`, `modeling`. transformers' auto
classes know it once this package is imported.
"""

from transformers import AutoConfig, AutoModelForImageTextToText

from ibisagent.agent.policies.pointer.configuration import PointerConfig
from ibisagent.agent.policies.pointer.modeling import Drawn, PointerForConditionalGeneration, PointerOutput

__all__ = ["Drawn", "PointerConfig", "PointerForConditionalGeneration", "PointerOutput"]

AutoConfig.register(PointerConfig.model_type, PointerConfig, exist_ok=True)
AutoModelForImageTextToText.register(PointerConfig, PointerForConditionalGeneration, exist_ok=True)
