"""From a config to a plan: composition, checks, stages."""
