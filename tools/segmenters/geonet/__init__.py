"""Geonet: geocut with a learned term. MODEL_CARD.md says what its weights were trained on."""
