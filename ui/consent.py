"""The consent that lies beside a case which a person kept: what the case may be used for."""

import json
from pathlib import Path

__all__ = ["CONSENT_FILE", "CONSENT_SCOPE", "read_consent"]

CONSENT_FILE = "consent.json"
CONSENT_SCOPE = "training and evaluation of segmentation models"


def read_consent(folder: Path) -> bool | None:
    """Return whether the mask of a kept case was accepted; None where there is no consent to training with it."""
    try:
        consent = json.loads((folder / CONSENT_FILE).read_text(encoding="utf-8"))
        return bool(consent.get("accepted")) if consent.get("scope") == CONSENT_SCOPE else None
    except (OSError, ValueError, AttributeError):
        return None
