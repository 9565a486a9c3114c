"""The media library: our own originals on disk, and the ids WeCom gave for each use of them."""
