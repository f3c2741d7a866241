"""Selection: scores of a whole pool -> the subset that is kept."""
