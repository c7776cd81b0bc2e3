"""What things cost."""


def quote(item: str) -> int:
    return 100 * len(item)
