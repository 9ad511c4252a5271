"""The page that asks for a password; it needs no script."""

from html import escape

from starlette.responses import HTMLResponse, Response

__all__ = ["login_page"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ibisagent</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ min-height: 90vh; display: grid; place-items: center; margin: 0; }}
form {{ display: grid; gap: .75rem; width: min(20rem, 90vw); }}
input, button {{ font: inherit; padding: .6rem; border: 1px solid #888; border-radius: .4rem; }}
button {{ background: #2255aa; color: #fff; border: 0; }}
p {{ margin: 0; min-height: 1.3em; color: #b3261e; }}
</style></head><body>
<form method="post" action="/login">
<h1>ibisagent</h1>
<label>User <input name="user" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button>
<p role="status">{message}</p>
</form></body></html>
"""


def login_page(message: str = "") -> Response:
    """Return the page, with a line about what went wrong."""
    return HTMLResponse(_PAGE.format(message=escape(message)), status_code=401 if message else 200)
