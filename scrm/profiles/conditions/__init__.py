"""One condition tree everywhere: what can be asked of a person, compiled to SQL, explained in words."""
