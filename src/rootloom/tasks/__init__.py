"""What a network is asked to do: head, loss, prediction columns and parameter groups."""
