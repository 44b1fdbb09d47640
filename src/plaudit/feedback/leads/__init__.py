"""The leads' side: boards, items, people, exchange."""
