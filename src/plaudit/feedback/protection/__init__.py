"""Who may come in and what may be sent: sessions, headers, bodies, attempts."""
