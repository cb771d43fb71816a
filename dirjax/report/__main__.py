"""`python -m dirjax.report RUN... [--output DIR] [--base METHOD]`."""

import sys

from dirjax.report import main

sys.exit(main())
