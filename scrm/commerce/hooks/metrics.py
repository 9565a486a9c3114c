"""Counters of pushed messages."""

from prometheus_client import Counter

HOOK_MESSAGES = Counter("scrm_hook_messages_total", "Pushed messages by what became of them", ("source", "state"))
HOOK_REQUESTS = Counter("scrm_hook_requests_total", "Requests at /hooks by their answer", ("source", "answer"))
