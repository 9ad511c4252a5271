"""Options at the end of a name: ``medsam2:FILE?device=cuda&batch=1``."""

__all__ = ["split_options"]


def split_options(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a name from its options, as keys and values; a question mark with no ``=`` after it belongs to the name.

    >>> split_options("hf:folder?longest=64")
    ('hf:folder', [('longest', '64')])
    >>> split_options("sam2:what?.pt")
    ('sam2:what?.pt', [])
    """
    bare, asked, text = name.rpartition("?")
    if not asked or "=" not in text:
        return name, []
    pairs = (part.partition("=") for part in text.split("&") if part)
    return bare, [(key, value) for key, _, value in pairs]
