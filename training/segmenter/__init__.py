"""Training of geonet, the embedded segmenter's learned term, on data sets of masks by simulated clicks."""
