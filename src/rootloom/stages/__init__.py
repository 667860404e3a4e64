"""What jobs do: a function a rule."""
