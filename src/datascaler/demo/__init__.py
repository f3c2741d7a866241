"""A small pool drawn by code, and the whole line run on it: `datascaler demo`."""
