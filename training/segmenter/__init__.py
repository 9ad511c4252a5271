"""Training of the embedded segmenters: geonet by simulated clicks on data sets of masks, and the fit of their score."""
