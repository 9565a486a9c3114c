"""Order files of any size: read, prepared and put in, resumable at every chunk."""
