"""Who may use the server: users, their grants and devices, sessions, tokens and proofs. No HTTP here."""
