"""Training data from real pictures: varied as scanners and exporters would, with requests for what is absent.

`write_augmented` in ``folder`` makes a data-set folder of a data set's cases.
"""
