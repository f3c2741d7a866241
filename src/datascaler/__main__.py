"""`python -m datascaler` is the `datascaler` command."""

from datascaler.cli.main import main

if __name__ == "__main__":
    main()
