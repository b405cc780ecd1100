"""Dependencies from outside: what is known of them."""
