"""Experts: policies that know the true mask and demonstrate, with rationales, what a careful policy does."""
