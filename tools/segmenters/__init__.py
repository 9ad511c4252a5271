"""Promptable segmenters by name: embedded ones without weights, and one memo layer over any of them."""
