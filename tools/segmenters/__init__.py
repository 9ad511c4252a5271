"""Promptable segmenters by name: embedded ones without weights, the SAM family, and one memo layer over any of them."""

from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, Segmenter, predict_one_by_one
from ibisagent.tools.segmenters.registry import SEGMENTERS, get_segmenter

__all__ = [
    "SEGMENTERS",
    "Mask",
    "Pixels",
    "Prediction",
    "Query",
    "Segmenter",
    "get_segmenter",
    "predict_one_by_one",
]
