"""Helpers that several test files share: fakes, fixtures, tiny models, and servers."""
