"""ROOT files in (bounded memory) and friend trees out."""
