"""Words on the wire: what publishers send and what Karar publishes. Imports nothing of ours."""
