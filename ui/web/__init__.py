"""The web page: sessions, bytes and the door are ours, Gradio shows them; see `ibisagent.ui.web.app`."""
