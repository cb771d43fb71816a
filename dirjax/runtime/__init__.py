"""The process: start, memory, devices, signals."""
