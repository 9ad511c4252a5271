"""``python -m ibisagent.ui`` is ``ibisagent``."""

from ibisagent.ui.cli.app import main

main()
