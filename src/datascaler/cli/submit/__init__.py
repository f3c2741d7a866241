"""The commands of `datascaler submit`."""
