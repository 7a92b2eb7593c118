"""The ``kubernetes`` target."""
