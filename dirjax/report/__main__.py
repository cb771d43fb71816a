"""`python -m dirjax.report RUN... [--output DIR] [--base METHOD] [--published]`."""

import sys

from dirjax.report import main

sys.exit(main())
