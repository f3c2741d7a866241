"""T-MARS: pictures are scored without the text in them (arXiv 2307.03132)."""
