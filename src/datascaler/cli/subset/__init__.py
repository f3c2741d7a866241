"""The commands of `datascaler subset`."""
