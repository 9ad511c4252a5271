"""The elements with numbers that are read: how many values each has, and which are valid (PS3.6)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["OFTEN_EMPTY", "RULES", "Rule", "Values"]

Values = list[float]

_SKEW = 0.01  # the cosine between rows and columns


class Rule(NamedTuple):
    """``value_count``: how many values an element has, None for any number; ``is_valid``: whether they make sense."""

    value_count: int | None = 1
    is_valid: Callable[[Values], bool] = lambda _: True


def _is_positive(values: Values) -> bool:
    return min(values) > 0


def _is_any_positive(values: Values) -> bool:
    return max(values) > 0


def _is_not_negative(values: Values) -> bool:
    return min(values) >= 0


def _is_count(values: Values) -> bool:
    return values[0] >= 0 and values[0].is_integer()


def _is_not_zero(values: Values) -> bool:
    return values[0] != 0


def _is_perpendicular(values: Values) -> bool:
    """Whether rows and columns have directions, and these a right angle; their lengths do not matter."""
    row, column = np.array(values[:3]), np.array(values[3:])
    lengths = float(np.linalg.norm(row) * np.linalg.norm(column))
    return lengths > 0 and abs(float(row @ column)) < _SKEW * lengths


_ONE, _ANY, _PAIR = Rule(), Rule(None), Rule(2, _is_positive)
_LENGTH = Rule(1, _is_not_negative)  # 0 where it is unknown
RULES: dict[str, Rule] = {
    "RescaleIntercept": _ONE,
    "RescaleSlope": Rule(1, _is_not_zero),
    "WindowCenter": _ANY,
    "WindowWidth": Rule(None, _is_any_positive),
    **{f"{kind}PixelPaddingValue": _ONE for kind in ("", "Float", "DoubleFloat")},
    **{f"{kind}PixelPaddingRangeLimit": _ONE for kind in ("", "Float", "DoubleFloat")},
    "BitsStored": _ONE,
    "PixelSpacing": _PAIR,
    "ImagerPixelSpacing": _PAIR,
    "NominalScannedPixelSpacing": _PAIR,
    "ImagePositionPatient": Rule(3),
    "ImageOrientationPatient": Rule(6, _is_perpendicular),
    "SliceThickness": _LENGTH,
    "SpacingBetweenSlices": Rule(1, _is_not_zero),
    "GridFrameOffsetVector": _ANY,
    "EstimatedRadiographicMagnificationFactor": _LENGTH,
    "DistanceSourceToDetector": _LENGTH,
    "DistanceSourceToPatient": _LENGTH,
    "NumberOfFrames": Rule(1, _is_count),
    "InstanceNumber": _ONE,
    "SeriesNumber": _ONE,
    "AcquisitionNumber": _ONE,
    "FrameAcquisitionNumber": _ONE,
    "TemporalPositionIdentifier": _ONE,
    "TemporalPositionIndex": _ONE,
    "EchoNumbers": _ANY,
    "RegionSpatialFormat": _ONE,
    "PhysicalUnitsXDirection": _ONE,
    "PhysicalUnitsYDirection": _ONE,
    "PhysicalDeltaX": _ONE,
    "PhysicalDeltaY": _ONE,
    "LUTDescriptor": Rule(3),
}
# Empty in many valid files: of type 2 or 3, and nothing that a picture needs.
OFTEN_EMPTY = {
    *("EstimatedRadiographicMagnificationFactor", "DistanceSourceToDetector", "DistanceSourceToPatient"),
    *("SeriesNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "SpacingBetweenSlices"),
    *("SequenceOfUltrasoundRegions", "ModalityLUTSequence", "VOILUTSequence"),
}
