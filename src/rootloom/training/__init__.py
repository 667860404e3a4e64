"""The training loop, its step, its devices and its checkpoints; knows no concrete model or task."""
