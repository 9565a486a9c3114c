"""体检: looks at everything that must be right, and says of each trouble where it comes from and where to mend it."""
