"""A subset as tars of its own."""
