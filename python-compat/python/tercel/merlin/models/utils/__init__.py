"""`merlin.models.utils`."""
