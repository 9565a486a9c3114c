"""What others would build, to measure ourselves against."""
