"""What is said to many: mass messages, moments, plans, scripts and materials, guards."""
