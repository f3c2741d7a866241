"""Tools that know nothing of pools or models: threads, processes, sorting on disk, random numbers."""
