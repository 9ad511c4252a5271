"""``python -m ibisagent.ui`` is ``ibisagent``."""

from ibisagent.ui.cli import main

main()
