"""The program `mixmerge`, also started as `python -m mixmerge`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    try:
        from mixmerge.cli import run
        from mixmerge.cli.terminal import prepare
    except KeyboardInterrupt:
        sys.exit(130)
    prepare()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
