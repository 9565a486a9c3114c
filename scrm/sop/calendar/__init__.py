"""Dates, schedules and days of rest, and what they set going."""
