"""The server's HTTP face. Only here and in server.app are requests, headers and statuses known."""
