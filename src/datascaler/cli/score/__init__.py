"""`datascaler score`, and the options of each family of methods."""
