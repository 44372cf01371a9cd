"""`merlin.models`."""
