"""Why something happened or did not, who waits where, and what comes next."""
