"""Making pools and evaluation sets in DataComp's layout."""
