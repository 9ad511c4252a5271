"""The page's own files: templates, styles and scripts, constant text."""

from importlib.resources import files

__all__ = ["PICTURE_SCRIPTS", "join_scripts", "read_asset", "read_template"]

PICTURE_SCRIPTS = ("masks", "viewport", "drawing", "gestures", "outcome", "upload", "volume", "picture", "controls")
"""Scripts of the picture, in the order in which they follow each other in one function."""


def read_asset(name: str) -> str:
    """Return the text of a file."""
    return (files("ibisagent.ui.web") / "assets" / name).read_text(encoding="utf-8")


def read_template(name: str, hidden: tuple[str, ...] = ()) -> str:
    """Return the template of a component; ``hidden``: tools that it does not show."""
    html = read_asset(f"{name}.html")
    for tool in hidden:
        html = html.replace(f'data-tool="{tool}"', f'data-tool="{tool}" hidden')
    return html


def join_scripts(names: tuple[str, ...]) -> str:
    """Return scripts one after the other."""
    return "\n".join(read_asset(f"{name}.js") for name in names)
