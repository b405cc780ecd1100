"""The engine: keys, bytes, amounts and due times. Knows nothing of customers or chains."""
