"""All like this: an appearance model of clicked examples, a global cut, and edits of its mask by plain prompts."""

from ibisagent.tools.segmenters.similar.predict import PlainPredict, SimilarPrior, predict_similar
from ibisagent.tools.segmenters.similar.settings import SimilarSettings

__all__ = ["PlainPredict", "SimilarPrior", "SimilarSettings", "predict_similar"]
