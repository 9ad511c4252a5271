"""The SAM family behind the segmenter protocol: MedSAM2 and SAM 2 over `sam2`, SAM, MedSAM and SAM 2 over transformers.

Nothing here imports torch before a model is opened (`open_sam.open_sam`).
"""
