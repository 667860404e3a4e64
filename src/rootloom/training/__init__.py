"""The training loop, its step, devices and checkpoints; independent of models and tasks."""
