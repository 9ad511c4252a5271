"""Segmentation sessions behind every interface, free of any transport; see `ibisagent.ui.sessions.service`."""
