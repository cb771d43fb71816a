"""Configs: one file a data set, installed as `dirjax.configs`."""
