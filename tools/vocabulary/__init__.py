"""Words for targets and requests, in several languages."""
