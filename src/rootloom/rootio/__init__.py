"""Reading of ROOT files in limited memory, and writing of friend trees."""
