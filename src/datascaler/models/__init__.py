"""open_clip models: building them (standard and muP), loading weights, optimizer groups."""
