"""What the loop calls: images in source geometry, masks, clicks and their simulation, segmenters."""
