"""`python -m dirjax.report RUN|STUDY... [--output DIR] [--base METHOD] [...]`."""

import sys

from dirjax.report import main

sys.exit(main())
