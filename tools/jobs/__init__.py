"""Jobs over many cases: worker processes, JSON-lines files of rows, and the settings that the rows depend on."""
