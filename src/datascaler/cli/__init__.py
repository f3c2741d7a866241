"""The command line: one file a verb. Modules here import click and the standard library at the top, nothing else."""
