"""What a worker knows of the search attributes in its namespace."""

from temporalio import activity


class VisibilityActivities:
    """Tells sessions what the worker found at its start."""

    def __init__(self, *, usable: bool) -> None:
        self._usable = usable

    @activity.defn
    async def search_attributes_usable(self) -> bool:
        """Whether sessions may write their search attributes here."""
        return self._usable
