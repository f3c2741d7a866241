"""The commands of `datascaler pool`."""
