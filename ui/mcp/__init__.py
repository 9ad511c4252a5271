"""The loop over the Model Context Protocol."""
