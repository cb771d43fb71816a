"""The parts of training: build, warm start, stage programs, step, progress."""
