"""The proof: workers under load that are killed, frozen and restarted at random, and a count of what is lost (nothing).

`make soak` runs it for long, tests/test_soak.py for short, tests/test_sabotage.py shows that it would notice.
"""
