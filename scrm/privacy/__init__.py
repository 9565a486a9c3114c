"""What a person may ask of us: to be told what is kept, to be forgotten, and to be left alone."""
