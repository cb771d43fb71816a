"""Configs: one file per data set, installed as `dirjax.configs`."""
