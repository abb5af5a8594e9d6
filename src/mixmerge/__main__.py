"""The program `mixmerge`, also started as `python -m mixmerge`."""

from __future__ import annotations

import sys

from mixmerge.startup import quick_ending, quick_loading


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    try:
        with quick_loading():
            from mixmerge.cli import run
            from mixmerge.cli.terminal import prepare
    except KeyboardInterrupt:
        sys.exit(130)
    prepare()
    code = run(sys.argv[1:])
    quick_ending()
    sys.exit(code)


if __name__ == "__main__":
    main()
