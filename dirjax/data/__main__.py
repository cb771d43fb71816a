"""`python -m dirjax.data describe ...`, which is `python -m dirjax.describe ...`."""

import sys

from dirjax import describe

if __name__ == "__main__":
    sys.exit(describe.main(drop="describe"))
