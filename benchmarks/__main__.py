"""`python -m benchmarks`; see README.md beside this file."""

import sys

try:
    import rich as _rich  # noqa: F401
except ImportError:
    sys.exit("The tables need rich: pip install -e '.[bench]'")

from benchmarks.cli import main

sys.exit(main())
