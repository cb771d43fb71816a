"""From config to plan: composition, validation, stages."""
