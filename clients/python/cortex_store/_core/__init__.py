"""What both clients share: errors, JSON, messages, records, rules for repeating a call."""
