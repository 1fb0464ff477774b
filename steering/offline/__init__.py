"""What clients get, without a server: answers with their reasons, tables of expectations, traffic and a map."""
