"""Networks that make showers."""
