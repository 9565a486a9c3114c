"""What holds a step back although its playbook wants it, and who goes first when several want the same customer."""
