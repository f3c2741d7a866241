"""What only an accelerator can show: `make test-gpu`, on a machine that has one."""
