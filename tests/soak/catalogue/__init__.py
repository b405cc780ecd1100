"""The catalogue: faults with a name, each a scenario of its own on real Kafka, judged alike and told in one table.

`make soak FAULT=lost_answer` runs one, `FAULT=all` all of them; tests/test_catalogue.py runs a short form of each.
"""
