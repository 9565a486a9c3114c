"""What playbooks achieved, counted once each."""
