"""`make fuzz`: generated requests, messages, cards and models; whatever comes, no 5xx, no long pause, flat memory."""
