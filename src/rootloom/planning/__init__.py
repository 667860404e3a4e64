"""What there is to do: the request, its files, its jobs and what each depends on."""
