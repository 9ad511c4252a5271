"""What the loop uses: images in source geometry, masks, clicks and their simulation, segmenters."""
