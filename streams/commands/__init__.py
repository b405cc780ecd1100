"""One module per command: arguments in, pure calls, output. No counting here."""
