#!/usr/bin/env bash
# Installs dirjax with its test extra into .venv and runs the default test suite in two
# processes. Arguments go to pytest: bash launch/test.sh -k fds
# Tests of one file stay together, since they share runs and compiled programs.
set -euo pipefail
# shellcheck source=launch/install.sh
source "$(dirname "$0")/install.sh" "[test]"
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
