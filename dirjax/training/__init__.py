"""What training is made of: build, step, parameters, progress."""
