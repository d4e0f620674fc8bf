"""`python -m lockstep` is the command `lockstep`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
