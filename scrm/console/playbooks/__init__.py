"""The pages about playbooks: the list, the board, the text, rehearsals, who waits where."""
