"""The process: startup, memory, devices, signals."""
